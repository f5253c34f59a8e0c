"""What the API shows of a server's names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from services.dns.models import Nameset, RecordState


class RecordStateView(BaseModel):
    """One record set. `expected` is what we want there, `observed` what the zone's own servers said last."""

    name: str
    type: str
    state: Literal["verified", "pending", "conflict", "missing", "wrong"]
    dnssec: bool
    detail: str
    expected: list[str]
    observed: list[str]
    required: bool
    domain_id: str | None
    server_id: str
    checked_at: datetime
    verified_at: datetime | None


class NamesView(BaseModel):
    """`state`: `pending`, `verified` (all of the host's own names), `refused` (see `problem`), `withdrawing`,
    `withdrawn`. `forward` and `reverse` are about the host name; records of domains are in the list too."""

    server_id: str
    hostname: str
    generation: int
    state: Literal["pending", "verified", "refused", "withdrawing", "withdrawn"]
    forward: bool
    reverse: bool
    problem: str | None
    records: list[RecordStateView]


def record_view(row: RecordState) -> RecordStateView:
    return RecordStateView.model_validate(row, from_attributes=True)


def names_view(row: Nameset, states: Sequence[RecordState]) -> NamesView:
    return NamesView(
        server_id=row.server_id,
        hostname=str(row.desired.get("hostname", row.hostname)),
        generation=row.generation,
        state=_state(row),
        forward=row.forward and not row.withdrawn,
        reverse=row.reverse and not row.withdrawn,
        problem=row.problem,
        records=[record_view(state) for state in states],
    )


def _state(row: Nameset) -> Literal["pending", "verified", "refused", "withdrawing", "withdrawn"]:
    if row.withdrawn:
        return "withdrawn" if row.gone else "withdrawing"
    if row.problem is not None:
        return "refused"
    return "verified" if row.forward and row.reverse else "pending"
