"""Rows of provider tokens."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import ProviderToken


async def get(session: AsyncSession, token_id: str) -> ProviderToken | None:
    return await session.get(ProviderToken, token_id)


async def listed(session: AsyncSession, after_id: str | None, limit: int) -> Sequence[ProviderToken]:
    """Up to `limit + 1` rows, oldest first, behind `after_id`."""
    query = select(ProviderToken).order_by(ProviderToken.id).limit(limit + 1)
    if after_id is not None:
        query = query.where(ProviderToken.id > after_id)
    return (await session.scalars(query)).all()


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(ProviderToken).where(ProviderToken.workspace_id == workspace_id))
