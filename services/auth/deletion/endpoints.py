"""The end of a workspace."""

from __future__ import annotations

from fastapi import APIRouter

from services.auth.deletion import service
from services.auth.deletion.schemas import DeleteWorkspace, DeletionView
from services.auth.wiring import Wired
from shared.ids import WorkspaceId
from shared.web.access import IdentityDep, requires, signed_in
from shared.web.session import SessionDep

router = APIRouter(tags=["Workspaces"])


@router.delete(
    "/v1/workspaces/{workspace_id}",
    status_code=202,
    dependencies=[requires("workspace.delete", step_up=300)],
)
async def delete_workspace(
    workspace_id: WorkspaceId, wish: DeleteWorkspace, identity: IdentityDep, session: SessionDep, wired: Wired
) -> DeletionView:
    """Ends the workspace: servers, records, people and secrets. Needs the typed name and a fresh sign-in."""
    return await service.request(session, wired.clock, identity, workspace_id, wish)


@router.get("/v1/workspaces/{ended_workspace_id}/deletion", dependencies=[signed_in()])
async def get_deletion(
    ended_workspace_id: WorkspaceId, identity: IdentityDep, session: SessionDep
) -> DeletionView:
    """How far the end of the workspace is, for the person who asked for it; also when it is over."""
    return await service.of_asker(session, identity.subject, ended_workspace_id)
