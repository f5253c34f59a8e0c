"""…/zones/{zone_id}/plan: what would be changed in the zone, and the word to do it."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request

from services.dns.plans import service
from services.dns.plans.schemas import ApplyRequest, ApplyView, PlanView
from shared.ids import WorkspaceId, ZoneId
from shared.web import IdentityDep, ResourcesDep, SessionDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/zones/{zone_id}/plan", tags=["plans"])


@router.get("", dependencies=[requires("zones.read")])
async def show_plan(
    workspace_id: WorkspaceId, zone_id: ZoneId, request: Request, session: SessionDep, resources: ResourcesDep
) -> PlanView:
    """The plan for the zone as it is now. While its state is `computing`, ask again in a moment."""
    refresh = timedelta(seconds=request.app.state.settings.plan_refresh_seconds)
    return await service.show(session, zone_id, now=resources.clock.now(), refresh=refresh)


@router.post("/apply", status_code=202, dependencies=[requires("zones.write")])
async def apply_plan(
    workspace_id: WorkspaceId,
    zone_id: ZoneId,
    body: ApplyRequest,
    identity: IdentityDep,
    session: SessionDep,
    resources: ResourcesDep,
) -> ApplyView:
    """Approves the plan with this id. It is carried out once, and only if it still fits the zone."""
    return await service.apply(session, identity, zone_id, body, now=resources.clock.now())
