"""GET /v1/workspaces/{workspace_id}/servers/{server_id}/names"""

from __future__ import annotations

from fastapi import APIRouter

from services.dns.servers import service
from services.dns.servers.schemas import NamesView
from shared.ids import ServerId, WorkspaceId
from shared.web import SessionDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/servers", tags=["names"])


@router.get("/{server_id}/names", dependencies=[requires("servers.read")])
async def server_names(workspace_id: WorkspaceId, server_id: ServerId, session: SessionDep) -> NamesView:
    """The server's names, each record set as last seen in DNS."""
    return await service.names(session, server_id)
