"""Workspaces and their members."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.wiring import Wired
from services.auth.workspaces import members, service
from services.auth.workspaces.schemas import (
    ChangeRole,
    CreateWorkspace,
    MemberView,
    RenameWorkspace,
    TransferOwnership,
    WorkspaceView,
)
from shared.ids import MemberId, WorkspaceId
from shared.web.access import IdentityDep, requires, signed_in
from shared.web.conditional import IfMatchDep, etag
from shared.web.idempotency import IdempotencyDep
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Workspaces"])
_WORKSPACE = "/v1/workspaces/{workspace_id}"
_MEMBER = _WORKSPACE + "/members/{member_id}"


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


@router.get(_WORKSPACE, dependencies=[requires("workspace.read")])
async def get_workspace(
    workspace_id: WorkspaceId, response: Response, identity: IdentityDep, session: SessionDep
) -> WorkspaceView:
    """The workspace; its ETag is what a change of it has to send back."""
    found = await service.get(session, identity, workspace_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch(_WORKSPACE, dependencies=[requires("workspace.write")])
async def rename_workspace(
    workspace_id: WorkspaceId,
    request: RenameWorkspace,
    response: Response,
    identity: IdentityDep,
    session: SessionDep,
    if_match: IfMatchDep,
) -> WorkspaceView:
    """Gives it another name. `If-Match` says which version the caller has seen: 428 without, 412 if it is old."""
    found = await service.rename(session, identity, workspace_id, request.name, if_match)
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(_WORKSPACE + "/transfer", dependencies=[requires("workspace.transfer", step_up=300)])
async def transfer_workspace(
    workspace_id: WorkspaceId,
    request: TransferOwnership,
    identity: IdentityDep,
    session: SessionDep,
    wired: Wired,
) -> MemberView:
    """Makes a member owner, in the caller's place or beside him. Needs a fresh sign-in."""
    return await members.transfer(session, wired.clock, identity, workspace_id, request)


@router.post(_WORKSPACE + "/leave", status_code=204, dependencies=[requires("workspace.leave")])
async def leave_workspace(
    workspace_id: WorkspaceId, identity: IdentityDep, session: SessionDep, wired: Wired
) -> Response:
    """Ends the caller's own membership, his keys and his open invitations. The only owner cannot (409)."""
    await members.leave(session, wired.clock, identity, workspace_id)
    return Response(status_code=204)


@router.get(_WORKSPACE + "/members", dependencies=[requires("members.read")])
async def list_members(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[MemberView]:
    return await members.page(session, workspace_id, page)


@router.patch(_MEMBER, dependencies=[requires("members.write")])
async def change_role(
    workspace_id: WorkspaceId,
    member_id: MemberId,
    request: ChangeRole,
    response: Response,
    identity: IdentityDep,
    session: SessionDep,
    if_match: IfMatchDep,
    wired: Wired,
) -> MemberView:
    """Makes a member admin, or an admin member. An owner can be demoted by an owner who has signed in within the last
    five minutes; not the last one (409). `If-Match` is the `version` of the list in quotes: 428 without, 412 if the
    role was changed since."""
    found = await members.change_role(
        session, wired.clock, identity, workspace_id, member_id, request.role, if_match
    )
    response.headers["ETag"] = etag(found.version)
    return found


@router.delete(_MEMBER, status_code=204, dependencies=[requires("members.write")])
async def remove_member(
    workspace_id: WorkspaceId, member_id: MemberId, identity: IdentityDep, session: SessionDep, wired: Wired
) -> Response:
    """Takes a member out, at once: tokens that are still valid open nothing in this workspace any more. To take out an
    owner, another one must have signed in within the last five minutes."""
    await members.remove(session, wired.clock, identity, workspace_id, member_id)
    return Response(status_code=204)
