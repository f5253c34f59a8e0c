"""Servers: list, one with all its evidence, cancel."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.provisioner.servers import service
from services.provisioner.servers.schemas import CancelAccepted, CancelServer, ServerDetail, ServerView
from shared.ids import ServerId, WorkspaceId
from shared.web import IdempotencyDep, IdentityDep, Page, PageDep, SessionDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/servers", tags=["Servers"])


@router.get("", dependencies=[requires("servers.read")])
async def list_all(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[ServerView]:
    return await service.page(session, workspace_id, page)


@router.get("/{server_id}", dependencies=[requires("servers.read")])
async def get(workspace_id: WorkspaceId, server_id: ServerId, session: SessionDep) -> ServerDetail:
    """Conditions, every address with the lists that refused it, and the evidence of the last self-test."""
    return await service.get(session, server_id)


@router.post(
    "/{server_id}/cancel",
    status_code=202,
    response_model=CancelAccepted,
    dependencies=[requires("servers.write")],
)
async def cancel(
    workspace_id: WorkspaceId,
    server_id: ServerId,
    request: CancelServer,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
) -> Response:
    """Ends the server at once: names, addresses, disk and all. `confirm_name` is its full host name."""

    async def call() -> CancelAccepted:
        job = await service.cancel(session, identity, server_id, request)
        return CancelAccepted(job_id=job.id)

    return await idempotency.run(status_code=202, call=call)
