"""The audit log of a workspace."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from services.auth.audit_log import service
from services.auth.audit_log.schemas import AuditView
from shared.ids import WorkspaceId
from shared.web.access import requires
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Audit"])


@router.get("/v1/workspaces/{workspace_id}/audit", dependencies=[requires("audit.read")])
async def list_audit(
    workspace_id: WorkspaceId,
    session: SessionDep,
    page: PageDep,
    action: Annotated[str | None, Query(pattern=r"^[a-z_.]{1,100}$")] = None,
    target: Annotated[str | None, Query(pattern=r"^[a-z]{2,4}_[0-9a-f]{32}$")] = None,
) -> Page[AuditView]:
    """What was done in the workspace, by whom and why, newest first: the audited actions of all services."""
    return await service.page(session, workspace_id, page, action=action, target=target)
