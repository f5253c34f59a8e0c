"""Rows behind subscriptions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Subscription, WorkspaceDeletion


async def get(session: AsyncSession, subscription_id: str) -> Subscription | None:
    return await session.get(Subscription, subscription_id)


async def page(
    session: AsyncSession, workspace_id: str, after: str | None, limit: int
) -> Sequence[Subscription]:
    query = (
        select(Subscription)
        .where(Subscription.workspace_id == workspace_id)
        .order_by(Subscription.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(Subscription.id > after)
    return (await session.scalars(query)).all()


async def is_ending(session: AsyncSession, workspace_id: str) -> bool:
    return await session.get(WorkspaceDeletion, workspace_id) is not None
