"""Rows of read limits. `full_at` is when all that was taken is free again: the GCRA's theoretical arrival time (ITU-T
I.371), which needs no more than this one moment."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Interval, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import ReadLimit


async def take(
    session: AsyncSession, workspace_id: str, actor_id: str, kind: str, now: datetime, interval: timedelta, most: int
) -> bool:  # fmt: skip
    """Takes one if there is one left, in one statement: it locks the row until the transaction ends."""
    taken = func.greatest(ReadLimit.full_at, literal(now, ReadLimit.full_at.type)) + literal(
        interval, Interval
    )
    found = await session.scalar(
        insert(ReadLimit)
        .values(workspace_id=workspace_id, actor_id=actor_id, kind=kind, full_at=now + interval)
        .on_conflict_do_update(
            index_elements=[ReadLimit.workspace_id, ReadLimit.actor_id, ReadLimit.kind],
            set_={"full_at": taken},
            where=taken <= literal(now + interval * most, ReadLimit.full_at.type),
        )
        .returning(ReadLimit.kind)
    )
    return found is not None


async def free_at(
    session: AsyncSession, workspace_id: str, actor_id: str, kind: str, interval: timedelta, most: int
) -> datetime:
    """When the next one can be taken."""
    full_at = await session.scalar(
        select(ReadLimit.full_at).where(
            ReadLimit.workspace_id == workspace_id, ReadLimit.actor_id == actor_id, ReadLimit.kind == kind
        )
    )
    assert full_at is not None
    return full_at - interval * (most - 1)


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(ReadLimit).where(ReadLimit.workspace_id == workspace_id))
