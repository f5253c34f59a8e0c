"""What is expected of a name set, and what is stored of each look at it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.dns.models import PLATFORM, Nameset, OwnedRecord, RecordState
from services.dns.records.model import DesiredRecord
from services.dns.verification import Judgement, RecordSet

FRESH = timedelta(seconds=60)
"""For so long after a write, absence is taken for delay."""
RECHECK = timedelta(seconds=20)
"""While something is pending, record sets verified more recently than this are not asked for again."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A record set, and the zone it lies in: `zone_name` None for the reverse tree, `zone_id` None when no proven
    zone holds the domain."""

    wanted: RecordSet
    zone_name: str | None
    zone_id: str | None
    reverse: bool = False


def look_again(before: RecordState, wanted: RecordSet, row: Nameset, now: datetime) -> bool:
    """Whether this record set has to be asked for in this pass."""
    if before.state != "verified" or before.expected != sorted(wanted.values) or wanted.gone != row.withdrawn:
        return True
    return before.checked_at < row.pending_since or now - before.checked_at > RECHECK


def freshly_written(
    wanted: RecordSet, owned: Sequence[OwnedRecord], before: RecordState | None, now: datetime
) -> bool:
    """Whether it was written a moment ago and has not been seen since, so that absence is only a delay."""
    rows = [item for item in owned if (item.name, item.type) == (wanted.name, wanted.type)]
    if not rows:
        return False
    last = max(item.written_at for item in rows)
    seen = before is not None and before.verified_at is not None and before.verified_at >= last
    return not seen and last > now - FRESH


def state_row(
    row: Nameset, expected: Expectation, judgement: Judgement, before: RecordState | None, now: datetime
) -> RecordState:
    wanted = expected.wanted
    verified = judgement.state == "verified"
    return RecordState(
        server_id=row.server_id,
        name=wanted.name,
        type=wanted.type,
        workspace_id=row.workspace_id,
        zone_id=expected.zone_id,
        domain_id=wanted.domain_id,
        expected=sorted(wanted.values),
        purposes=sorted({record.purpose for record in wanted.records}),
        required=wanted.required,
        state=judgement.state,
        dnssec=judgement.dnssec,
        detail=judgement.detail,
        observed=list(judgement.observed),
        checked_at=now,
        verified_at=now if verified else before.verified_at if before else None,
    )


def absence(state: RecordState) -> RecordSet:
    """The record set of a stored state, now wanted to be gone."""
    records = tuple(
        DesiredRecord(
            name=state.name,
            type=state.type,
            value=value,
            purpose=state.purposes[0],
            rule="",
            explanation="",
            server_id=state.server_id,
            domain_id=state.domain_id,
            required=state.required,
        )
        for value in state.expected
    )
    return RecordSet(state.name, state.type, records, gone=True)


def unserved(state: RecordState) -> bool:
    """A customer's zone that nobody serves any more shows nothing of ours either."""
    return state.zone_id != PLATFORM and state.detail.startswith(("No name server of", "The zone of"))
