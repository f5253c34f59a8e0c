"""Rows about workspaces that end."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.models import Nameset, OwnedRecord, WorkspaceDeletion, Zone


async def note_request(session: AsyncSession, row: WorkspaceDeletion) -> None:
    """Keeps the first request; later ones change nothing."""
    values = {"workspace_id": row.workspace_id, "requested_at": row.requested_at}
    await session.execute(insert(WorkspaceDeletion).values(**values).on_conflict_do_nothing())


async def is_ending(session: AsyncSession, workspace_id: str) -> bool:
    return await session.get(WorkspaceDeletion, workspace_id) is not None


async def unfinished(session: AsyncSession) -> Sequence[str]:
    query = select(WorkspaceDeletion.workspace_id).where(WorkspaceDeletion.emptied_at.is_(None))
    return (await session.scalars(query.order_by(WorkspaceDeletion.requested_at).limit(100))).all()


async def locked(session: AsyncSession, workspace_id: str) -> WorkspaceDeletion | None:
    """The request, if it is still unfinished and nobody else is at it."""
    query = select(WorkspaceDeletion).where(
        WorkspaceDeletion.workspace_id == workspace_id, WorkspaceDeletion.emptied_at.is_(None)
    )
    row: WorkspaceDeletion | None = await session.scalar(query.with_for_update(skip_locked=True))
    return row


async def is_empty(session: AsyncSession, workspace_id: str) -> bool:
    """No name is published for it, and no record of ours is known in any zone."""
    names = (
        select(func.count())
        .select_from(Nameset)
        .where(Nameset.workspace_id == workspace_id, Nameset.gone.is_(False))
    )
    records = select(func.count()).select_from(OwnedRecord).where(OwnedRecord.workspace_id == workspace_id)
    return not await session.scalar(names) and not await session.scalar(records)


async def present_zones(session: AsyncSession, workspace_id: str) -> Sequence[Zone]:
    query = select(Zone).where(Zone.workspace_id == workspace_id, Zone.state != "removed")
    return (await session.scalars(query.with_for_update())).all()
