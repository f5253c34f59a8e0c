"""Plans as the API shows and takes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.dns.models import RecordPlan, Zone
from shared.ids import PlanId


class PlannedRecord(BaseModel):
    """One record, its value as in a zone file. `rule` is the text that asks for it."""

    name: str
    type: str
    value: str
    explanation: str = ""
    purpose: str | None = None
    rule: str | None = None
    domain_id: str | None = None
    server_id: str | None = None


class PlannedUpdate(PlannedRecord):
    before: str


class UnchangedRecord(PlannedRecord):
    """`ours` false: somebody else wrote it, it does the job, and it stays theirs."""

    ours: bool


class PlannedConflict(BaseModel):
    """A record of yours that is in the way. `acceptable`: name its id in `accept` to have `proposed` written."""

    id: str
    kind: str
    name: str
    type: str
    value: str
    present: list[str]
    proposed: str | None
    explanation: str
    next_action: str
    acceptable: bool
    required: bool
    domain_id: str | None


class AppliedPlan(BaseModel):
    """The plan that was approved last, and what became of it."""

    plan_id: str
    state: Literal["approved", "applied", "failed", "stale"]
    detail: str | None
    applied_at: datetime | None


class PlanView(BaseModel):
    """`state`: `computing` (ask again in a moment; `id` null), `ready` (may be applied by its id) or `applying`.
    `by_hand`: we hold no token for the zone; make the records of `creates` yourself."""

    id: str | None
    zone_id: str
    zone: str
    state: Literal["computing", "ready", "applying"]
    by_hand: bool
    dnssec: bool | None
    detail: str | None
    computed_at: datetime | None = None
    expires_at: datetime | None = None
    creates: list[PlannedRecord] = []
    updates: list[PlannedUpdate] = []
    deletes: list[PlannedRecord] = []
    conflicts: list[PlannedConflict] = []
    unchanged: list[UnchangedRecord] = []
    foreign: list[PlannedRecord] = []
    foreign_total: int = 0
    last_applied: AppliedPlan | None = None


class ApplyRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    plan_id: PlanId
    accept: list[str] = Field(default_factory=list, max_length=100)
    """Ids of conflicts whose proposal you agree to."""


class ApplyView(BaseModel):
    """202: the worker carries the plan out in one atomic call. `GET …/plan` tells how it went (`last_applied`)."""

    plan_id: str
    state: Literal["approved", "applied", "failed", "stale"]


def applied_view(plan: RecordPlan | None) -> AppliedPlan | None:
    if plan is None:
        return None
    return AppliedPlan.model_validate(
        {"plan_id": plan.id, "state": plan.state, "detail": plan.detail, "applied_at": plan.applied_at}
    )


def plan_view(zone: Zone, plan: RecordPlan | None, last: RecordPlan | None) -> PlanView:
    """`plan` None: none is ready, so one is being made or carried out."""
    head: dict[str, Any] = {
        "zone_id": zone.id,
        "zone": zone.name,
        "by_hand": zone.method == "txt",
        "dnssec": zone.dnssec,
        "detail": zone.detail,
        "last_applied": applied_view(last),
    }
    if plan is None:
        applying = last is not None and last.state == "approved"
        return PlanView.model_validate({**head, "id": None, "state": "applying" if applying else "computing"})
    times = {"computed_at": plan.computed_at, "expires_at": plan.expires_at}
    return PlanView.model_validate({**head, **times, **plan.content, "id": plan.id, "state": "ready"})
