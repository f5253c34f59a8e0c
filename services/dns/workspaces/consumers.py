"""auth says that a workspace ends, and later that it has ended."""

from __future__ import annotations

from services.dns.workspaces import service
from shared.bus.binding import HandlerContext
from shared.contracts.auth_events import WorkspaceDeleted, WorkspaceDeletionRequested


async def on_deletion_requested(context: HandlerContext, event: WorkspaceDeletionRequested) -> None:
    await service.request(context.session, event.workspace_id, context.resources.clock.now())


async def on_workspace_deleted(context: HandlerContext, event: WorkspaceDeleted) -> None:
    await service.forget(context.session, event.workspace_id, context.resources.clock.now())
