"""Rows of API keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import ApiKey


async def page(session: AsyncSession, workspace_id: str, *, before: str | None, limit: int) -> list[ApiKey]:
    statement = (
        select(ApiKey).where(ApiKey.workspace_id == workspace_id).order_by(ApiKey.id.desc()).limit(limit)
    )
    if before is not None:
        statement = statement.where(ApiKey.id < before)
    return list((await session.execute(statement)).scalars())


async def get(session: AsyncSession, workspace_id: str, key_id: str) -> ApiKey | None:
    statement = select(ApiKey).where(ApiKey.workspace_id == workspace_id, ApiKey.id == key_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def count_alive(session: AsyncSession, workspace_id: str, now: datetime) -> int:
    """Without those that have a successor, which end by themselves."""
    statement = select(func.count()).where(
        ApiKey.workspace_id == workspace_id,
        ApiKey.revoked_at.is_(None),
        ApiKey.replaced_by.is_(None),
        ApiKey.expires_at > now,
    )
    return (await session.execute(statement)).scalar_one()


async def by_public_id(session: AsyncSession, public_id: str) -> ApiKey | None:
    """The key that a caller presents, before its workspace is known: row security shows the named row only."""
    await session.execute(text("select set_config('app.api_key_public_id', :id, true)"), {"id": public_id})
    return (await session.execute(select(ApiKey).where(ApiKey.public_id == public_id))).scalar_one_or_none()


async def revoke(session: AsyncSession, workspace_id: str, key_id: str, now: datetime, reason: str) -> bool:
    """False when there is no such key, or it has ended before."""
    statement = (
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.workspace_id == workspace_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now, revoke_reason=reason)
        .returning(ApiKey.id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def revoke_made_by(
    session: AsyncSession, workspace_id: str, account_id: str, now: datetime
) -> list[str]:
    """Ids of the keys that this call has ended."""
    statement = (
        update(ApiKey)
        .where(
            ApiKey.workspace_id == workspace_id,
            ApiKey.created_by == account_id,
            ApiKey.revoked_at.is_(None),
        )
        .values(revoked_at=now, revoke_reason="its maker left")
        .returning(ApiKey.id)
    )
    return list((await session.execute(statement)).scalars())


async def revoke_all(session: AsyncSession, workspace_id: str, now: datetime) -> list[str]:
    statement = (
        update(ApiKey)
        .where(ApiKey.workspace_id == workspace_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now, revoke_reason="the workspace is deleted")
        .returning(ApiKey.id)
    )
    return list((await session.execute(statement)).scalars())


async def touch(
    session: AsyncSession, workspace_id: str, key_id: str, now: datetime, older_than: datetime
) -> None:
    """Notes the use, at most once per `older_than`, so that a busy key does not write at every request."""
    await session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == key_id,
            ApiKey.workspace_id == workspace_id,
            ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at < older_than),
        )
        .values(last_used_at=now)
    )
