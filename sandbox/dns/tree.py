"""The whole DNS tree of the sandbox: a signed root, ``test.``, the reverse tree, and every zone made below them.

Each zone is signed (ECDSA P-256, RFC 6605) and its parent carries NS and DS, so that a resolver that knows only our
root and its key validates every answer, of zones made a moment ago too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from sandbox.dns.records import RecordSet, absolute, checked
from sandbox.dns.server import AuthoritativeServer

ROOT = "."
HOME = "sandbox.test."
NAME_SERVERS = ("ns1.sandbox.test.", "ns2.sandbox.test.")
DELEGATION_TTL = 60
SHA256_DIGEST = "2"


class UnknownZone(KeyError):
    """No zone of the tree has or encloses this name."""


class Tree:
    """Zones and records; everything written is served, signed, from the next question on."""

    def __init__(self, server: AuthoritativeServer, directory: Path) -> None:
        self._server = server
        self._zones: set[str] = set()
        self._write = asyncio.Lock()
        self.on_keys_changed: Callable[[str], Awaitable[None]] | None = None
        """Called with a zone whose delegation changed: what resolvers remember of its keys is stale then."""
        self.hints_file = directory / "root.hints"
        self.anchor_file = directory / "root.key"

    async def plant(self, reverse: Sequence[IPv4Network | IPv6Network]) -> None:
        """Make what is missing of the tree above the customers' zones and write hints and trust anchor.

        `reverse` are the networks whose reverse zones we serve: a /24 or a prefix at a nibble boundary.
        """
        self._zones = {zone["name"] for zone in await self._server.call("GET", "/zones")}
        wanted = [ROOT, "arpa.", "test.", HOME, "in-addr.arpa.", "ip6.arpa."]
        wanted += [reverse_zone(network) for network in reverse]
        for zone in wanted:
            if zone not in self._zones:
                await self.create_zone(zone)
        for name, v4, v6 in zip(
            NAME_SERVERS, self._server.addresses_v4, self._server.addresses_v6, strict=True
        ):
            # In the root and in test. these are the glue below the delegations, in sandbox.test. the data itself.
            for zone in (ROOT, "test.", HOME):
                sets = [checked(name, "A", [str(v4)], 60), checked(name, "AAAA", [str(v6)], 60)]
                await self.apply(zone, sets)
        self._write_hints()
        key = next(k for k in await self._keys(ROOT) if k["active"])
        self.anchor_file.write_text(f". 60 IN DNSKEY {key['dnskey']}\n")

    async def create_zone(self, name: str, *, secure: bool = True) -> None:
        """A signed zone and its delegation in the parent; without `secure` the parent gets no DS (RFC 4035 4.3)."""
        zone = absolute(name)
        if zone in self._zones:
            raise ValueError(f"zone {zone} exists")
        async with self._write:
            await self._server.call(
                "POST",
                "/zones",
                {
                    "name": zone,
                    "kind": "Native",
                    "nameservers": list(NAME_SERVERS),
                    "dnssec": True,
                    "api_rectify": True,
                    "soa_edit_api": "INCREASE",
                },
            )
            self._zones.add(zone)
        if zone != ROOT:
            await self._delegate(zone, secure=secure)

    async def delegate(self, name: str, *, secure: bool) -> None:
        """Write NS, and DS or its absence, of an own zone into its parent."""
        zone = self._own(name)
        await self._delegate(zone, secure=secure)
        await self._keys_changed(zone)

    async def _delegate(self, zone: str, *, secure: bool) -> None:
        digests = await self.ds(zone) if secure else []
        await self.apply(
            self._parent(zone),
            [
                checked(zone, "NS", NAME_SERVERS, DELEGATION_TTL),
                RecordSet(zone, "DS", tuple(digests), DELEGATION_TTL),
            ],
        )

    async def delegate_to(self, name: str, server: str) -> None:
        """Delegate `name` to a name server outside this tree's zones, unsigned."""
        child = absolute(name)
        await self.apply(self.zone_of(child), [checked(child, "NS", [absolute(server)], DELEGATION_TTL)])

    async def is_secure(self, name: str) -> bool:
        """True when the parent of this zone carries its DS."""
        zone = self._own(name)
        return any(each.name == zone and each.type == "DS" for each in await self.records(self._parent(zone)))

    async def delete_zone(self, name: str) -> None:
        """Remove the zone with all its records and its delegation."""
        zone = self._own(name)
        await self.apply(self._parent(zone), [RecordSet(zone, "NS", ()), RecordSet(zone, "DS", ())])
        async with self._write:
            await self._server.call("DELETE", f"/zones/{_identifier(zone)}")
            self._zones.discard(zone)
        await self._keys_changed(zone)

    async def set_records(self, name: str, kind: str, values: Sequence[str], ttl: int = 60) -> None:
        """Replace the record set `name` `kind` in the zone that encloses it. Raises InvalidRecord, UnknownZone."""
        wanted = checked(name, kind, values, ttl)
        await self.apply(self.zone_of(wanted.name), [wanted])

    async def delete_records(self, name: str, kind: str) -> None:
        """Remove the record set, if there is one."""
        await self.apply(self.zone_of(absolute(name)), [RecordSet(absolute(name), kind.upper(), ())])

    async def apply(self, zone: str, sets: Sequence[RecordSet]) -> None:
        """Replace (or, without values, remove) these record sets of one zone in one transaction."""
        changes = [
            {
                "name": each.name,
                "type": each.type,
                "ttl": each.ttl,
                "changetype": "REPLACE" if each.values else "DELETE",
                "records": [{"content": value, "disabled": False} for value in each.values],
            }
            # Removals first: PowerDNS checks each set against what is there, and a CNAME stands alone.
            for each in sorted(sets, key=lambda each: bool(each.values))
        ]
        if not changes:
            return
        async with self._write:
            await self._server.call("PATCH", f"/zones/{_identifier(self._own(zone))}", {"rrsets": changes})

    async def records(self, zone: str) -> list[RecordSet]:
        """Every record set of a zone as it is served, SOA and NS included, signatures not."""
        found = await self._server.call("GET", f"/zones/{_identifier(self._own(zone))}")
        return [
            RecordSet(s["name"], s["type"], tuple(r["content"] for r in s["records"]), s["ttl"])
            for s in found["rrsets"]
        ]

    async def ds(self, zone: str) -> list[str]:
        """The SHA-256 DS records (RFC 4509) that the parent should carry, in presentation format."""
        return [
            ds
            for key in await self._keys(self._own(zone))
            for ds in key["ds"]
            if ds.split()[2] == SHA256_DIGEST
        ]

    async def public_key(self, zone: str) -> str:
        """The DNSKEY of the key that signs, in presentation format: ``257 3 13 …``."""
        return str(next(k for k in await self._keys(self._own(zone)) if k["active"])["dnskey"])

    def zones(self) -> list[str]:
        """Names of all zones, with the final dot."""
        return sorted(self._zones)

    def has_zone(self, name: str) -> bool:
        return absolute(name) in self._zones

    def zone_of(self, name: str) -> str:
        """The closest zone that has or encloses `name`. Raises UnknownZone."""
        rest = absolute(name)
        while rest not in self._zones:
            if rest == ROOT:
                raise UnknownZone(name)
            rest = rest.partition(".")[2] or ROOT
        return rest

    async def _keys_changed(self, zone: str) -> None:
        if self.on_keys_changed is not None:
            await self.on_keys_changed(zone)

    async def _keys(self, zone: str) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = await self._server.call("GET", f"/zones/{_identifier(zone)}/cryptokeys")
        return keys

    def _own(self, name: str) -> str:
        zone = absolute(name)
        if zone not in self._zones:
            raise UnknownZone(name)
        return zone

    def _parent(self, zone: str) -> str:
        return self.zone_of(zone.partition(".")[2] or ROOT)

    def _write_hints(self) -> None:
        lines = [f".                3600000 NS {name}" for name in NAME_SERVERS]
        for name, v4, v6 in zip(
            NAME_SERVERS, self._server.addresses_v4, self._server.addresses_v6, strict=True
        ):
            lines += [f"{name} 3600000 A {v4}", f"{name} 3600000 AAAA {v6}"]
        self.hints_file.write_text("\n".join(lines) + "\n")


def reverse_zone(network: IPv4Network | IPv6Network) -> str:
    """The reverse zone of a network at an octet (v4) or nibble (v6) boundary, with the final dot."""
    width = 8 if isinstance(network, IPv4Network) else 4
    if network.prefixlen % width:
        raise ValueError(f"{network} does not end at a label of the reverse tree")
    labels = network.network_address.reverse_pointer.split(".")
    kept = network.prefixlen // width
    return ".".join(labels[-2 - kept :]) + "."


def _identifier(zone: str) -> str:
    """A zone's id in the API's URLs: the root cannot be written as itself."""
    return "=2E" if zone == ROOT else zone
