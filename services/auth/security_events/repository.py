"""Rows of security events. The transaction's account is the only one whose rows are seen or added."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import SecurityEvent


def add(session: AsyncSession, event: SecurityEvent) -> None:
    session.add(event)


async def page(
    session: AsyncSession, account_id: str, *, before_id: str | None, limit: int
) -> list[SecurityEvent]:
    """Newest first."""
    statement = (
        select(SecurityEvent)
        .where(SecurityEvent.account_id == account_id)
        .order_by(SecurityEvent.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        statement = statement.where(SecurityEvent.id < before_id)
    return list((await session.execute(statement)).scalars())
