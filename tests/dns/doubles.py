"""A world of DNS in memory: a provider that keeps zones, eyes that look into them, a vault with tokens."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic import SecretStr

from services.dns.names import is_within
from services.dns.ports import (
    Answer,
    Batch,
    Holds,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnreachable,
    ProviderZone,
    RecordWrite,
    Sighting,
    TokenUnknown,
)
from services.dns.records.model import ActualRecord

SERVERS = ("ns1.provider.net", "ns2.provider.net")


@dataclass
class MemoryZone:
    name: str
    token: str
    active: bool = True
    signed: bool = True
    records: dict[str, ActualRecord] = field(default_factory=dict)


@dataclass
class World:
    """All zones, what the reverse tree says, and what goes wrong next."""

    zones: dict[str, MemoryZone] = field(default_factory=dict)
    pointers: dict[str, str] = field(default_factory=dict)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    overrides: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    lagging: set[str] = field(default_factory=set)
    lose_answers: int = 0
    refuse: ProviderError | None = None
    empty_listings: int = 0
    batches: list[Batch] = field(default_factory=list)
    asked_resolver: list[tuple[str, str]] = field(default_factory=list)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def zone(self, name: str, token: str, *, active: bool = True, signed: bool = True) -> MemoryZone:
        made = MemoryZone(name, token, active, signed)
        self.zones[f"zone-{name}"] = made
        return made

    def add(self, zone: MemoryZone, name: str, rdtype: str, value: str, **options: object) -> ActualRecord:
        record = ActualRecord(f"r{next(self.ids)}", name, rdtype, value)
        record = replace(record, **options)  # type: ignore[arg-type]
        zone.records[record.id] = record
        return record

    def account(self, token: SecretStr) -> MemoryAccount:
        return MemoryAccount(self, token.get_secret_value())

    def served(self, name: str, rdtype: str) -> frozenset[str]:
        """What the authoritative servers say."""
        if (name, rdtype) in self.overrides:
            return self.overrides[name, rdtype]
        if rdtype == "PTR":
            address = str(ipaddress.ip_address(_from_reverse(name)))
            return frozenset({self.pointers[address]}) if address in self.pointers else frozenset()
        return frozenset(
            record.value
            for zone in self.zones.values()
            for record in zone.records.values()
            if (record.name, record.type) == (name, rdtype)
        )


def _from_reverse(name: str) -> str:
    labels = name.split(".")
    if name.endswith("in-addr.arpa"):
        return ".".join(reversed(labels[:4]))
    digits = "".join(reversed(labels[:32]))
    return ":".join(digits[at : at + 4] for at in range(0, 32, 4))


class MemoryAccount:
    """A `DnsProvider` over the world, atomic like the real one."""

    def __init__(self, world: World, token: str) -> None:
        self._world, self._token = world, token

    async def verify_token(self) -> bool:
        return any(zone.token == self._token for zone in self._world.zones.values())

    async def find_zone(self, name: str) -> ProviderZone | None:
        if not await self.verify_token():
            raise ProviderDenied("The provider does not accept the token.")
        for identifier, zone in self._world.zones.items():
            if zone.name == name and zone.token == self._token:
                return ProviderZone(
                    identifier, name, zone.active, "active" if zone.active else "pending", SERVERS
                )
        return None

    async def list_records(self, zone_id: str) -> list[ActualRecord]:
        zone = self._open(zone_id)
        if self._world.empty_listings:
            self._world.empty_listings -= 1
            return []
        return list(zone.records.values())

    async def apply(self, zone_id: str, batch: Batch) -> list[ActualRecord]:
        zone = self._open(zone_id)
        if self._world.refuse is not None:
            refusal, self._world.refuse = self._world.refuse, None
            raise refusal
        records = dict(zone.records)
        written: list[ActualRecord] = []
        for identifier in batch.deletes:
            if records.pop(identifier, None) is None:
                raise ProviderRefused("Record does not exist.", "81044")
        for identifier, write in batch.patches:
            if identifier not in records:
                raise ProviderRefused("Record does not exist.", "81044")
            records[identifier] = _written(identifier, write, records[identifier].comment)
            written.append(records[identifier])
        for write in batch.posts:
            if any(
                (r.name, r.type, r.value) == (write.name, write.type, write.value) for r in records.values()
            ):
                raise ProviderRefused("An identical record already exists.", "81058")
            record = _written(f"r{next(self._world.ids)}", write, "")
            records[record.id] = record
            written.append(record)
        zone.records = records
        self._world.batches.append(batch)
        if self._world.lose_answers:
            self._world.lose_answers -= 1
            raise ProviderUnreachable("no answer")
        return written

    async def dnssec_active(self, zone_id: str) -> bool:
        return self._open(zone_id).signed

    def _open(self, zone_id: str) -> MemoryZone:
        zone = self._world.zones.get(zone_id)
        if zone is None or zone.token != self._token:
            raise ProviderDenied("The provider does not accept the token for this.")
        return zone


def _written(identifier: str, write: RecordWrite, comment: str) -> ActualRecord:
    kept = comment if write.comment is None else write.comment
    return ActualRecord(identifier, write.name, write.type, write.value, write.ttl, False, kept)


class MemoryEyes:
    """An `Observer`: two name servers, of which those in `lagging` still serve nothing, and a resolver."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def look(self, zone: str | None, name: str, rdtype: str, wanted: Holds) -> Sighting:
        if zone is not None and not await self.name_servers(zone):
            return Sighting(problem=f"No name server of {zone} can be asked.")
        values = self._world.served(name, rdtype)
        answers = tuple(
            Answer(server, "192.0.2.1", frozenset() if server in self._world.lagging else values)
            for server in SERVERS
        )
        if not all(wanted(answer.values) for answer in answers):
            return Sighting(answers)
        self._world.asked_resolver.append((name, rdtype))
        holder = [item for item in self._world.zones.values() if is_within(name, item.name)]
        signed = all(item.signed for item in holder)
        return Sighting(answers, Answer("resolver", "", values, signed))

    async def name_servers(self, zone: str) -> frozenset[str]:
        return (
            frozenset(SERVERS)
            if any(item.name == zone for item in self._world.zones.values())
            else frozenset()
        )

    async def text(self, name: str) -> Sequence[str]:
        return sorted(self._world.served(name, "TXT"))


class MemoryVault:
    """Tokens by (workspace, id)."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def token(self, workspace_id: str, token_id: str) -> SecretStr:
        value = self._world.tokens.get((workspace_id, token_id))
        if value is None:
            raise TokenUnknown("The provider token is not there any more.")
        return SecretStr(value)
