"""What the gateway saw at the door of a workspace."""

from __future__ import annotations

from fastapi import APIRouter

from services.auth.threats import service
from services.auth.threats.schemas import ThreatView
from shared.contracts.gateway_events import ThreatKind
from shared.ids import WorkspaceId
from shared.web.access import requires
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Threats"])


@router.get("/v1/workspaces/{workspace_id}/threats", dependencies=[requires("threats.read")])
async def list_threats(
    workspace_id: WorkspaceId, session: SessionDep, page: PageDep, kind: ThreatKind | None = None
) -> Page[ThreatView]:
    """Attacks on the workspace and odd behaviour of its people and keys, newest first; kept for 90 days."""
    return await service.page(session, workspace_id, page, kind=kind)
