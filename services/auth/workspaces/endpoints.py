"""Workspaces and their members."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.wiring import Wired
from services.auth.workspaces import service
from services.auth.workspaces.schemas import CreateWorkspace, MemberView, WorkspaceView
from shared.ids import MemberId, WorkspaceId
from shared.web.access import IdentityDep, requires, signed_in
from shared.web.idempotency import IdempotencyDep
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Workspaces"])


@router.post("/v1/workspaces", status_code=201, response_model=WorkspaceView, dependencies=[signed_in()])
async def create_workspace(
    request: CreateWorkspace,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Makes a workspace; the caller is its owner."""
    return await idempotency.run(
        status_code=201, call=lambda: service.create(session, wired.clock, identity, request)
    )


@router.get("/v1/workspaces", dependencies=[signed_in()])
async def my_workspaces(identity: IdentityDep, session: SessionDep, page: PageDep) -> Page[WorkspaceView]:
    return await service.mine(session, identity.subject, page)


@router.get("/v1/workspaces/{workspace_id}", dependencies=[requires("workspace.read")])
async def get_workspace(
    workspace_id: WorkspaceId, identity: IdentityDep, session: SessionDep
) -> WorkspaceView:
    return await service.get(session, identity, workspace_id)


@router.get("/v1/workspaces/{workspace_id}/members", dependencies=[requires("members.read")])
async def list_members(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[MemberView]:
    return await service.list_members(session, workspace_id, page)


@router.delete(
    "/v1/workspaces/{workspace_id}/members/{member_id}",
    status_code=204,
    dependencies=[requires("members.write")],
)
async def remove_member(
    workspace_id: WorkspaceId, member_id: MemberId, identity: IdentityDep, session: SessionDep
) -> Response:
    """Takes a member out, at once: tokens that are still valid open nothing in this workspace any more."""
    await service.remove_member(session, identity, workspace_id, member_id)
    return Response(status_code=204)
