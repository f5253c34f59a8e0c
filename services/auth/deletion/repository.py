"""Rows of deletions."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Deletion


async def get(session: AsyncSession, workspace_id: str) -> Deletion | None:
    statement = select(Deletion).where(Deletion.workspace_id == workspace_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def requested_by(session: AsyncSession, workspace_id: str, account_id: str) -> Deletion | None:
    statement = select(Deletion).where(
        Deletion.workspace_id == workspace_id, Deletion.requested_by == account_id
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def lock(session: AsyncSession, workspace_id: str) -> Deletion | None:
    statement = select(Deletion).where(Deletion.workspace_id == workspace_id).with_for_update()
    return (await session.execute(statement)).scalar_one_or_none()
