"""What no customer can use, by default and in a closed network."""

from __future__ import annotations

import ipaddress

import pytest

from services.dns.desired import NameRules, domain_problem, problem_with
from services.dns.names import BadName, domain_name
from services.dns.settings import ApiSettings, WorkerSettings
from shared.special_use import (
    REFUSED_NETWORKS,
    SPECIAL_USE_NAMES,
    parse_networks,
    refused,
    special_use,
    without,
)
from tests.dns.samples import PLATFORM_ZONE, domain, server
from tests.fixtures.identity import Trust

NETWORKS = parse_networks(REFUSED_NETWORKS)


def rules(**changes: tuple[str, ...]) -> NameRules:
    values = {"special_use_names": SPECIAL_USE_NAMES, "refused_networks": REFUSED_NETWORKS, **changes}
    return NameRules(platform_zone=PLATFORM_ZONE, caa_issuers=("ca.net",), **values)


def test_production_refuses_the_sandbox_names_and_networks_by_default(trust: Trust) -> None:
    api = trust.settings(ApiSettings, "dns", "api", platform_zone=PLATFORM_ZONE)
    worker = trust.settings(
        WorkerSettings, "dns", "worker", platform_zone=PLATFORM_ZONE, platform_zone_token="t"
    )
    assert special_use("example-a.test", api.special_use_names) == "test"
    assert special_use("example-a.test", worker.special_use_names) == "test"
    networks = parse_networks(worker.refused_networks)
    assert refused(ipaddress.ip_address("198.51.100.17"), networks)
    assert refused(ipaddress.ip_address("2001:db8:5c::1"), networks)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "::1", "fd00::1", "fe80::1",
     "::ffff:10.0.0.1", "2002::1"],
)  # fmt: skip
def test_private_addresses_are_refused(address: str) -> None:
    assert refused(ipaddress.ip_address(address), NETWORKS)


@pytest.mark.parametrize("address", ["51.15.0.7", "2a03:4000::1", "1.1.1.1", "::ffff:51.15.0.7"])
def test_public_addresses_are_not_refused(address: str) -> None:
    assert not refused(ipaddress.ip_address(address), NETWORKS)


@pytest.mark.parametrize("own", ["198.51.100.64/26", "2001:db8:5c:1::/64"])
def test_a_closed_network_takes_out_its_own_prefix_and_nothing_else(own: str) -> None:
    hole = ipaddress.ip_network(own)
    networks = parse_networks(without(REFUSED_NETWORKS, own))
    assert not refused(hole[1], networks)
    assert not refused(hole[-1], networks)
    assert refused(hole[0] - 1, networks)
    assert refused(hole[-1] + 1, networks)
    size = sum(network.num_addresses for network in NETWORKS)
    assert sum(network.num_addresses for network in networks) == size - hole.num_addresses


@pytest.mark.parametrize(
    "name", ["company.test", "a.b.localhost", "x.example.com", "1.10.in-addr.arpa", "x.internal"]
)
def test_reserved_names_cannot_be_claimed(name: str) -> None:
    assert "reserved" in str(domain_problem(name, SPECIAL_USE_NAMES, PLATFORM_ZONE))


@pytest.mark.parametrize("name", [PLATFORM_ZONE, f"mx.{PLATFORM_ZONE}"])
def test_the_platforms_own_names_cannot_be_claimed(name: str) -> None:
    assert "platform" in str(domain_problem(name, SPECIAL_USE_NAMES, PLATFORM_ZONE))


@pytest.mark.parametrize(
    ("given", "name"),
    [("Company.COM.", "company.com"), ("münchen.de", "xn--mnchen-3ya.de"), (" a-b.co.uk ", "a-b.co.uk")],
)
def test_names_have_one_form(given: str, name: str) -> None:
    assert domain_name(given) == name


@pytest.mark.parametrize(
    "given",
    [
        "",
        "com",
        "-a.com",
        "a..com",
        "a b.com",
        "_dmarc.a.com",
        "1.2.3.4",
        "a" * 64 + ".com",
        "a." * 127 + "com",
    ],
)
def test_what_is_no_domain_name_is_refused(given: str) -> None:
    with pytest.raises(BadName):
        domain_name(given)


def test_names_are_published_only_for_public_addresses_in_the_platform_zone() -> None:
    assert problem_with(server(domains=(domain("company.com"),)), rules()) is None
    assert "platform" in str(problem_with(server(hostname="mx.company.com"), rules()))
    assert "platform" in str(problem_with(server(hostname=PLATFORM_ZONE), rules()))
    assert "public" in str(problem_with(server(ipv4="10.0.0.1"), rules()))
    assert "public" in str(problem_with(server(ipv6="2001:db8:5c::1"), rules()))
    assert "address" in str(problem_with(server(ipv4="nonsense"), rules()))
    assert "reserved" in str(problem_with(server(domains=(domain("company.test"),)), rules()))
    assert "digest" in str(problem_with(server(tlsa_spki_sha256=("x",)), rules()))
    assert "MTA-STS" in str(problem_with(server(domains=(domain("company.com", mta_sts_id="!"),)), rules()))
