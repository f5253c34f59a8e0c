"""Desired against actual, with ownership: what has to be done to a zone, as data. Pure.

What is ours is known by two things at once: the id that we keep, and the comment that we wrote. A record with only
one of them is somebody else's, and nobody else's record is ever updated or deleted; where one is in the way, that is
a conflict for its owner to settle. The one thing that may be done to a foreign record, after its owner said so, is to
add our mechanism to an SPF record.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.dns.conflicts import Conflict, conflict_with
from services.dns.records import spf
from services.dns.records.model import ActualRecord, DesiredRecord, Owned, same_ttl

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Create:
    record: DesiredRecord


@dataclass(frozen=True, slots=True)
class Update:
    """`actual` becomes `value`. `record` is None when our part is taken out of a record that stays; `taken_out` says
    whose part that was. `merged`: the record is, and stays, its owner's."""

    actual: ActualRecord
    value: str
    record: DesiredRecord | None
    merged: bool = False
    taken_out: tuple[Owned, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    actual: ActualRecord
    owned: Owned


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The record is there. `ours` False: somebody else wrote it, and it stays theirs."""

    record: DesiredRecord
    actual: ActualRecord
    ours: bool


@dataclass
class Plan:
    """`released`: ours once, taken over by the zone's owner. `vanished`: ours, but not in the listing."""

    creates: list[Create] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    unchanged: list[Unchanged] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    foreign: list[ActualRecord] = field(default_factory=list)
    released: list[Owned] = field(default_factory=list)
    vanished: list[Owned] = field(default_factory=list)

    @property
    def changes(self) -> int:
        return len(self.creates) + len(self.updates) + len(self.deletes)


def plan(
    desired: Iterable[DesiredRecord],
    actual: Sequence[ActualRecord],
    owned: Sequence[Owned],
    *,
    accepted: Collection[str] = (),
    includes: Mapping[str, str] | None = None,
) -> Plan:
    """`accepted` are ids of conflicts whose proposal the zone's owner agreed to; `includes` are the SPF records of
    names that present SPF records include, for counting look-ups."""
    return _Planner(desired, actual, owned, accepted, includes or {}).run()


class _Planner:
    def __init__(
        self,
        desired: Iterable[DesiredRecord],
        actual: Sequence[ActualRecord],
        owned: Sequence[Owned],
        accepted: Collection[str],
        includes: Mapping[str, str],
    ) -> None:
        self.result = Plan()
        self.accepted = accepted
        self.includes = includes
        self.desired: dict[Key, list[DesiredRecord]] = defaultdict(list)
        for record in {(item.name, item.type, item.value): item for item in desired}.values():
            self.desired[record.key].append(record)
        self.ours: dict[Key, list[tuple[ActualRecord, Owned]]] = defaultdict(list)
        self.merged: dict[Key, list[tuple[ActualRecord, Owned]]] = defaultdict(list)
        self.foreign_at: dict[str, list[ActualRecord]] = defaultdict(list)
        self._sort_out(actual, owned)

    def _sort_out(self, actual: Sequence[ActualRecord], owned: Sequence[Owned]) -> None:
        """Divides what is there into ours and foreign, and what we remember into present, released and vanished."""
        present = {record.id: record for record in actual}
        ours: set[str] = set()
        for item in owned:
            record = present.get(item.provider_record_id)
            if record is None:
                self.result.vanished.append(item)
            elif item.merged:
                kept = record.type == "TXT" and spf.is_spf(record.value)
                if kept and spf.has_mechanism(record.value, item.value):
                    self.merged[record.key].append((record, item))
                else:
                    self.result.released.append(item)
            elif record.comment == item.comment and record.key == item.key:
                self.ours[record.key].append((record, item))
                ours.add(record.id)
            else:
                self.result.released.append(item)
        for record in actual:
            if record.id not in ours:
                self.foreign_at[record.name].append(record)
                self.result.foreign.append(record)

    def run(self) -> Plan:
        for key in sorted({*self.desired, *self.ours}):
            self._record_set(self.desired.get(key, []), list(self.ours.get(key, [])))
        self._take_out_merged()
        return self.result

    def _record_set(self, wanted: list[DesiredRecord], ours: list[tuple[ActualRecord, Owned]]) -> None:
        missing: list[DesiredRecord] = []
        for record in wanted:
            match = next((pair for pair in ours if pair[0].value == record.value), None)
            if match is None:
                missing.append(record)
                continue
            ours.remove(match)
            self._settled(record, match[0])
        for record in missing:
            if self._blocked(record):
                continue
            match = next((pair for pair in ours if _same_job(pair[1], record)), None)
            if match is not None:
                ours.remove(match)
                self.result.updates.append(Update(match[0], record.value, record))
            else:
                self.result.creates.append(Create(record))
        self.result.deletes += [Delete(actual, owned) for actual, owned in ours]

    def _settled(self, record: DesiredRecord, actual: ActualRecord) -> None:
        """Ours, with the right value: only its TTL or its proxying may be wrong; a rival beside it is reported."""
        if actual.proxied or not same_ttl(actual.ttl, record.ttl):
            self.result.updates.append(Update(actual, record.value, record))
        else:
            self.result.unchanged.append(Unchanged(record, actual, ours=True))
        rival = conflict_with(record, self.foreign_at.get(record.name, []), self.includes, ours_is_there=True)
        if rival is not None:
            self.result.conflicts.append(rival)

    def _blocked(self, record: DesiredRecord) -> bool:
        """True when the record need not, or must not, be written: it is there already, or something is in the way."""
        foreign = self.foreign_at.get(record.name, [])
        same = next((item for item in foreign if _satisfies(item, record)), None)
        if same is not None and not same.proxied:
            merged = any(pair[0].id == same.id for pair in self.merged.get(record.key, []))
            self.result.unchanged.append(Unchanged(record, same, ours=merged))
            return True
        conflict = conflict_with(record, foreign, self.includes)
        if conflict is None:
            return False
        if conflict.acceptable and conflict.id in self.accepted and conflict.target is not None:
            self.result.updates.append(Update(conflict.target, conflict.proposed or "", record, merged=True))
        else:
            self.result.conflicts.append(conflict)
        return True

    def _take_out_merged(self) -> None:
        """Our mechanism leaves the SPF records of names that no longer send through us."""
        for key, pairs in sorted(self.merged.items()):
            wanted = {(item.server_id, item.domain_id) for item in self.desired.get(key, [])}
            for actual, owned in pairs:
                if (owned.server_id, owned.domain_id) not in wanted:
                    self._take_out(actual, owned)

    def _take_out(self, actual: ActualRecord, owned: Owned) -> None:
        updates = self.result.updates
        for at, update in enumerate(updates):
            if update.actual.id == actual.id:  # one record is changed once: another host's merge was accepted
                value = spf.unmerge(update.value, owned.value)
                updates[at] = replace(update, value=value, taken_out=(*update.taken_out, owned))
                return
        updates.append(
            Update(actual, spf.unmerge(actual.value, owned.value), None, merged=True, taken_out=(owned,))
        )


def _same_job(owned: Owned, record: DesiredRecord) -> bool:
    return (owned.server_id, owned.domain_id, owned.purpose) == (
        record.server_id, record.domain_id, record.purpose
    )  # fmt: skip


def _satisfies(actual: ActualRecord, record: DesiredRecord) -> bool:
    """Whether a foreign record already does the job: the same record, or an SPF record that names our host."""
    if actual.key != record.key:
        return False
    if actual.value == record.value:
        return True
    if record.purpose != "spf" or not spf.is_spf(actual.value):
        return False
    hostname = spf.terms(record.value)[0].argument
    return spf.has_mechanism(actual.value, hostname)


def fingerprint(
    desired: Iterable[DesiredRecord], actual: Sequence[ActualRecord], owned: Iterable[Owned]
) -> str:
    """Hex SHA-256 over all that a plan depends on: what is wanted, and what is at the names that it touches."""
    wanted = sorted(
        (r.name, r.type, r.value, r.ttl, r.purpose, r.server_id, r.domain_id or "") for r in desired
    )
    marks = {record.id: record.comment for record in actual}
    ours = [o for o in owned if marks.get(o.provider_record_id) == o.comment]
    remembered = sorted((o.provider_record_id, o.value, o.comment) for o in ours)
    names = {item[0] for item in wanted} | {o.name for o in ours}
    there = sorted(
        (r.id, r.name, r.type, r.value, r.ttl, r.proxied, r.comment) for r in actual if r.name in names
    )
    return hashlib.sha256(json.dumps([wanted, remembered, there]).encode()).hexdigest()
