"""Showing a plan, and approving it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.errors import (
    ConflictNotAcceptable,
    PlanExpired,
    PlanStale,
    WorkspaceEnding,
    ZoneByHand,
    ZoneNotProven,
)
from services.dns.models import RecordPlan, Zone
from services.dns.plans import repository
from services.dns.plans.content import acceptable
from services.dns.plans.schemas import ApplyRequest, ApplyView, PlanView, plan_view
from services.dns.workspaces import repository as workspaces
from services.dns.zones import repository as zones
from shared import audit
from shared.errors import NotFound
from shared.identity.model import Identity


async def show(session: AsyncSession, zone_id: str, *, now: datetime, refresh: timedelta) -> PlanView:
    """The newest plan. One that is old, or missing, is asked of the worker, who takes well under a second."""
    zone = await zones.get(session, zone_id)
    _need_proven(zone)
    plan = await repository.ready(session, zone_id)
    last = await repository.last_approved(session, zone_id)
    if plan is not None and plan.expires_at <= now:
        plan = None
    if plan is None or now - plan.computed_at > refresh:
        await zones.wake(session, zone_id, now)
    return plan_view(zone, plan, last)


async def apply(
    session: AsyncSession, identity: Identity, zone_id: str, request: ApplyRequest, *, now: datetime
) -> ApplyView:
    """Approves exactly the plan that was shown. A plan takes effect once, however often it is approved."""
    zone = await zones.get(session, zone_id)
    if await workspaces.is_ending(session, zone.workspace_id):
        raise WorkspaceEnding("Its records are being withdrawn; none is made any more.")
    _need_proven(zone)
    plan = await repository.in_zone(session, zone_id, request.plan_id)
    if plan is None:
        raise NotFound
    if zone.method == "txt":
        raise ZoneByHand(
            "We hold no token for this zone.",
            next_action="Make the records of the plan at your DNS provider.",
        )
    if plan.state == "superseded":
        raise _stale()
    if plan.state != "ready":
        return _view(plan)
    if plan.expires_at <= now:
        raise PlanExpired("The plan was computed too long ago.", next_action="Read the plan again.")
    accepted = sorted(set(request.accept))
    strange = [item for item in accepted if item not in acceptable(plan.content)]
    if strange:
        raise ConflictNotAcceptable(
            f"{strange[0]} is not a conflict of this plan that can be accepted.", field="accept"
        )
    if not await repository.approve(session, plan.id, accepted, identity.subject):
        await session.refresh(plan)  # somebody was faster: their approval, or a newer plan
        if plan.state == "superseded":
            raise _stale()
        return _view(plan)
    await audit.record(
        session, workspace_id=zone.workspace_id, actor=identity, action="dns.plan.approved", target=plan.id,
        data={"zone_id": zone.id, "zone": zone.name, "accepted": accepted},
    )  # fmt: skip
    await zones.wake(session, zone_id, now)
    return ApplyView(plan_id=plan.id, state="approved")


def _view(plan: RecordPlan) -> ApplyView:
    return ApplyView.model_validate({"plan_id": plan.id, "state": plan.state})


def _stale() -> PlanStale:
    return PlanStale(
        "The zone, or what is wanted in it, has changed since this plan was made.",
        next_action="Read the plan again and apply that one.",
    )


def _need_proven(zone: Zone) -> None:
    if zone.state != "proven":
        raise ZoneNotProven(
            zone.detail or "The proof has not been seen yet.", next_action="Prove control of the zone first."
        )
