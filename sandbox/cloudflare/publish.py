"""Puts Cloudflare's records where they are served: the DNS tree, signed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sandbox.cloudflare import txt
from sandbox.cloudflare.books import Books
from sandbox.dns import RecordSet, Tree
from sandbox.dns.records import checked

AUTOMATIC_TTL = 300
Record = dict[str, Any]
Key = tuple[str, str]


class Publisher:
    """Translates records to record sets. `edge` are the addresses that a proxied host shows instead of its own."""

    def __init__(self, tree: Tree, books: Books, *, edge: tuple[IPv4Address, IPv6Address]) -> None:
        self.tree = tree
        self._books = books
        self._edge = edge

    async def publish(self, zone: str, before: Iterable[Record], after: Iterable[Record]) -> None:
        """Serve `after` instead of `before` in `zone`: the record sets that differ, in one transaction."""
        old, new = self.record_sets(before), self.record_sets(after)
        changed = [new.get(key) or RecordSet(f"{key[0]}.", key[1], ()) for key in old.keys() | new.keys()]
        differing = [each for each in changed if old.get((each.name.rstrip("."), each.type)) != each]
        await self.tree.apply(zone, differing)

    async def restore(self, name: str, kind: str) -> RecordSet:
        """Serve again what the books say about `name` `kind`, after something else was planted there."""
        zone_name = self.tree.zone_of(name)
        zone = self._books.zone_named(zone_name.rstrip("."))
        sets = self.record_sets(self._books.records(zone["id"])) if zone else {}
        wanted = sets.get((name.rstrip(".").lower(), kind)) or RecordSet(
            checked(name, "A", [], 1).name, kind, ()
        )
        await self.tree.apply(zone_name, [wanted])
        return wanted

    def record_sets(self, records: Iterable[Record]) -> Mapping[Key, RecordSet]:
        """Record sets by (name without dot, type)."""
        grouped: dict[Key, list[tuple[str, int]]] = defaultdict(list)
        for record in records:
            kind, value = self._value(record)
            ttl = AUTOMATIC_TTL if record["ttl"] == 1 else record["ttl"]
            grouped[(record["name"], kind)].append((value, ttl))
        return {
            (name, kind): checked(name, kind, sorted({v for v, _ in found}), min(ttl for _, ttl in found))
            for (name, kind), found in grouped.items()
        }

    def _value(self, record: Record) -> tuple[str, str]:
        """Type and zone-file value of one record."""
        kind, content = record["type"], record["content"]
        if record["proxied"]:
            return ("AAAA", str(self._edge[1])) if kind == "AAAA" else ("A", str(self._edge[0]))
        match kind:
            case "TXT":
                return kind, txt.presentation(txt.strings(content))
            case "MX":
                return kind, f"{record['priority']} {_absolute(content)}"
            case "SRV":
                data = record["data"]
                target = _absolute(data["target"])
                return kind, f"{data['priority']} {data['weight']} {data['port']} {target}"
            case "CNAME" | "NS":
                return kind, _absolute(content)
            case _:
                return kind, content


def _absolute(host: str) -> str:
    return host if host == "." else f"{host}."
