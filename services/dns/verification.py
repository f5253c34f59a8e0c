"""What a sighting of a record set means. Pure: the looking is done by an `Observer`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from services.dns.ports import Answer, Sighting
from services.dns.records import dmarc, spf
from services.dns.records.model import DesiredRecord

State = Literal["verified", "pending", "conflict", "missing", "wrong"]

_OTHERS_MAY_STAND_BESIDE = frozenset({"CAA"})


@dataclass(frozen=True, slots=True)
class RecordSet:
    """All records that are wanted under one name and type. `gone`: none of them may be there any more."""

    name: str
    type: str
    records: tuple[DesiredRecord, ...]
    gone: bool = False

    @property
    def values(self) -> frozenset[str]:
        return frozenset(record.value for record in self.records)

    @property
    def domain_id(self) -> str | None:
        return self.records[0].domain_id

    @property
    def required(self) -> bool:
        return any(record.required for record in self.records)

    def holds(self, seen: frozenset[str]) -> bool:
        """Whether these values are what is wanted: exactly ours, where nothing else may stand beside them."""
        if self.gone:
            return not any(self._ours(value) for value in seen)
        if self.type in _OTHERS_MAY_STAND_BESIDE:
            return self.values <= seen
        if self.type != "TXT":
            return self.values == seen
        family = [value for value in seen if self._family(value)]
        return len(family) == len(self.records) and all(self._ours(value) for value in family)

    def _purpose(self) -> str:
        return self.records[0].purpose

    def _family(self, value: str) -> bool:
        """Whether this TXT data competes with ours: readers of SPF, DMARC and the like want exactly one."""
        purpose = self._purpose()
        if purpose in {"spf", "host-spf"}:
            return spf.is_spf(value)
        if purpose in {"dmarc", "dmarc-report"}:
            return dmarc.is_dmarc(value)
        return True

    def _ours(self, value: str) -> bool:
        if value in self.values:
            return True
        if self._purpose() != "spf" or not spf.is_spf(value):
            return False
        return spf.has_mechanism(value, spf.terms(self.records[0].value)[0].argument)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`observed`: what was seen, from all servers together."""

    state: State
    dnssec: bool
    detail: str
    observed: tuple[str, ...] = ()


def record_sets(records: Iterable[DesiredRecord], *, gone: bool = False) -> list[RecordSet]:
    groups: dict[tuple[str, str], list[DesiredRecord]] = defaultdict(list)
    for record in records:
        groups[record.key].append(record)
    return [RecordSet(name, kind, tuple(group), gone) for (name, kind), group in sorted(groups.items())]


def judge(wanted: RecordSet, sighting: Sighting, *, written: bool, conflict: str | None = None) -> Judgement:
    """`written`: the provider has confirmed the present values, so that absence is only a delay. `conflict`: why the
    record was not written, if another one is in the way."""
    heard = [answer for answer in sighting.answers if answer.error is None]
    observed = tuple(sorted({value for answer in heard for value in answer.values}))
    if sighting.problem is not None:
        return Judgement("pending", False, sighting.problem)
    if sighting.resolver is not None:
        return _through_resolver(wanted, sighting.resolver, observed)
    silent = sorted({a.server for a in sighting.answers} - {a.server for a in heard})
    good = [answer for answer in heard if wanted.holds(answer.values)]
    if conflict is not None and not good:
        return Judgement("conflict", False, conflict, observed)
    if silent and len(good) == len(heard):
        return Judgement("pending", False, f"No answer from {', '.join(silent)}.", observed)
    if good:
        lagging = sorted({f"{a.server} ({a.address})" for a in heard if a not in good})
        return Judgement("pending", False, f"Not yet served by {', '.join(lagging)}.", observed)
    if wanted.gone:
        return Judgement("pending", False, "Still served.", observed)
    if written:
        return Judgement("pending", False, "Written, and not yet served.", observed)
    return _not_there(wanted, heard, observed)


def _through_resolver(wanted: RecordSet, seen: Answer, observed: tuple[str, ...]) -> Judgement:
    """All authoritative servers agree; the resolver may still remember something else."""
    if seen.error is not None:
        return Judgement(
            "pending", False, f"The validating resolver gives no answer ({seen.error}).", observed
        )
    if not wanted.holds(seen.values):
        return Judgement("pending", False, "The resolver still remembers an older answer.", observed)
    if wanted.type == "TLSA" and not wanted.gone and not seen.authenticated:
        return Judgement("wrong", False, "The zone is not signed, so senders ignore this record.", observed)
    return Judgement("verified", seen.authenticated, "", observed)


def _not_there(wanted: RecordSet, heard: Sequence[Answer], observed: tuple[str, ...]) -> Judgement:
    rivals = [value for value in observed if wanted.type != "TXT" or wanted._family(value)]
    if not heard or not rivals:
        return Judgement("missing", False, "Not published.", observed)
    if wanted.values <= set(observed):
        return Judgement("wrong", False, "Other records stand beside it.", observed)
    return Judgement("wrong", False, "Something else is published.", observed)
