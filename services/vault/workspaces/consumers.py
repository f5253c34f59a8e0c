"""What auth says about workspaces."""

from __future__ import annotations

from services.vault.wiring import Resources
from shared.bus.binding import HandlerContext
from shared.contracts.auth_events import WorkspaceDeleted


async def on_workspace_deleted(context: HandlerContext, event: WorkspaceDeleted) -> None:
    resources: Resources = context.resources
    await resources.workspaces.shred(context.session, event.workspace_id, context.envelope.aggregateversion)
