"""What a workspace's deletion waits for: nothing of it is left at a cloud."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Server, WorkspaceDeletion
from shared.bus import outbox
from shared.contracts.provisioner_events import WorkspaceEmptied


async def announce_if_empty(session: AsyncSession, workspace_id: str) -> bool:
    """Answers a workspace's deletion request once its last server is gone. True when it was announced now."""
    request = await session.scalar(
        select(WorkspaceDeletion).where(WorkspaceDeletion.workspace_id == workspace_id).with_for_update()
    )
    if request is None or request.emptied_at is not None:
        return False
    left = await session.scalar(
        select(func.count()).where(Server.workspace_id == workspace_id, Server.deleted_at.is_(None))
    )
    if left:
        return False
    request.emptied_at = await session.scalar(select(func.now()))
    await outbox.emit(
        session,
        WorkspaceEmptied(workspace_id=workspace_id),
        subject=workspace_id,
        workspace_id=workspace_id,
        aggregate_version=1,
    )
    return True
