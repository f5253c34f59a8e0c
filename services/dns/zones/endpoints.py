"""/v1/workspaces/{workspace_id}/zones: registering zones, their proof, the state of their records."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.dns.servers.schemas import RecordStateView, record_view
from services.dns.zones import repository, service
from services.dns.zones.schemas import ZoneRequest, ZoneView, zone_view
from shared.ids import WorkspaceId, ZoneId
from shared.web import (
    IdempotencyDep,
    IdentityDep,
    Page,
    PageDep,
    ResourcesDep,
    SessionDep,
    requires,
)

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/zones", tags=["zones"])


@router.post("", status_code=201, response_model=ZoneView, dependencies=[requires("zones.write")])
async def create_zone(
    workspace_id: WorkspaceId,
    body: ZoneRequest,
    request: Request,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    resources: ResourcesDep,
) -> Response:
    """Registers a zone. Its state is `proving` until the worker has seen the proof of control."""
    settings = request.app.state.settings
    return await idempotency.run(
        status_code=201,
        call=lambda: service.create(
            session,
            identity,
            workspace_id,
            body,
            platform_zone=settings.platform_zone,
            special_use_names=settings.special_use_names,
            now=resources.clock.now(),
        ),
    )


@router.get("", dependencies=[requires("zones.read")])
async def list_zones(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[ZoneView]:
    rows = await repository.page(session, workspace_id, page.after_id, page.limit + 1)
    return page.page(rows, zone_view, lambda zone: zone.id)


@router.get("/{zone_id}", dependencies=[requires("zones.read")])
async def show_zone(workspace_id: WorkspaceId, zone_id: ZoneId, session: SessionDep) -> ZoneView:
    return await service.show(session, zone_id)


@router.post("/{zone_id}/proof", status_code=202, dependencies=[requires("zones.write")])
async def check_proof(
    workspace_id: WorkspaceId, zone_id: ZoneId, session: SessionDep, resources: ResourcesDep
) -> ZoneView:
    """Looks for the proof of control now instead of at the next turn."""
    return await service.check_now(session, zone_id, resources.clock.now())


@router.get("/{zone_id}/records", dependencies=[requires("zones.read")])
async def zone_records(
    workspace_id: WorkspaceId, zone_id: ZoneId, session: SessionDep, page: PageDep
) -> Page[RecordStateView]:
    """The record sets that our servers want in the zone, each as last seen in DNS."""
    zone = await repository.get(session, zone_id)
    rows = await repository.record_states(session, zone.id, page.after_texts(3), page.limit + 1)
    return page.page(rows, record_view, lambda row: (row.name, row.type, row.server_id))
