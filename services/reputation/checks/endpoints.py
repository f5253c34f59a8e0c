"""`GET /v1/workspaces/{workspace_id}/servers/{server_id}/reputation`."""

from __future__ import annotations

from fastapi import APIRouter

from services.reputation.checks.schemas import ReputationView
from services.reputation.checks.service import view_of_server
from shared.ids import ServerId, WorkspaceId
from shared.web import SessionDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/servers/{server_id}", tags=["reputation"])


@router.get("/reputation", dependencies=[requires("reputation.read")])
async def show_reputation(
    workspace_id: WorkspaceId, server_id: ServerId, session: SessionDep
) -> ReputationView:
    """The server's addresses, also those given back, with what each list last said and every listing seen."""
    return await view_of_server(session, server_id)
