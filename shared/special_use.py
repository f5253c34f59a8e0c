"""Names and addresses that are nobody's on the internet, by the registries of IANA.

No customer's mail can use them, and nothing of ours connects to one because a customer says so.

These are the defaults of the settings `special_use_names`, `refused_networks` and `webhook_refused_networks`; an
environment that has a closed network of its own takes its own prefix out with `without`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA "Special-Use Domain Names" (RFC 6761 and those that added to it). All of arpa is infrastructure (RFC 3172);
# `internal` is reserved for private use by ICANN's board (2024-07-29).
SPECIAL_USE_NAMES: tuple[str, ...] = (
    "alt", "arpa", "example", "example.com", "example.net", "example.org", "internal", "invalid", "local",
    "localhost", "onion", "test",
)  # fmt: skip

# IANA "IPv4/IPv6 Special-Purpose Address Registry" (RFC 6890): the entries that are not globally reachable, and
# multicast (RFC 5771, RFC 4291 section 2.7). Beside them what carries an IPv4 address of anybody's choice
# (IPv4-compatible ones, RFC 4291 section 2.5.5.1; NAT64, RFC 6052) and the deprecated site-local prefix (RFC 3879).
REFUSED_NETWORKS: tuple[str, ...] = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4",
    "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23",
    "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10",
    "ff00::/8",
)  # fmt: skip


def special_use(name: str, special_use_names: Iterable[str]) -> str | None:
    """The special-use name that `name` is or lies under, or None."""
    return next((each for each in special_use_names if name == each or name.endswith("." + each)), None)


def parse_networks(networks: Iterable[str]) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)


def refused(address: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    """Whether the address lies in one of the networks; an IPv4-mapped one counts as what it maps to."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)


def without(networks: Iterable[str], own: str) -> tuple[str, ...]:
    """The same networks with the prefix `own` cut out of them, and nothing else."""
    hole = ipaddress.ip_network(own)
    result: list[str] = []
    for text in networks:
        network = ipaddress.ip_network(text)
        if isinstance(network, ipaddress.IPv4Network) and isinstance(hole, ipaddress.IPv4Network):
            result.extend(str(rest) for rest in _cut4(network, hole))
        elif isinstance(network, ipaddress.IPv6Network) and isinstance(hole, ipaddress.IPv6Network):
            result.extend(str(rest) for rest in _cut6(network, hole))
        else:
            result.append(text)
    return tuple(result)


def _cut4(network: ipaddress.IPv4Network, hole: ipaddress.IPv4Network) -> list[ipaddress.IPv4Network]:
    if network.subnet_of(hole):
        return []
    return sorted(network.address_exclude(hole)) if hole.subnet_of(network) else [network]


def _cut6(network: ipaddress.IPv6Network, hole: ipaddress.IPv6Network) -> list[ipaddress.IPv6Network]:
    if network.subnet_of(hole):
        return []
    return sorted(network.address_exclude(hole)) if hole.subnet_of(network) else [network]
