"""Rows of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import AuditLog


async def add(session: AsyncSession, row: dict[str, Any]) -> None:
    await session.execute(insert(AuditLog).values(**row).on_conflict_do_nothing(index_elements=["id"]))


async def page(
    session: AsyncSession,
    workspace_id: str,
    *,
    before: tuple[datetime, str] | None,
    limit: int,
    action: str | None,
    target: str | None,
) -> list[AuditLog]:
    """Newest first."""
    statement = (
        select(AuditLog)
        .where(AuditLog.workspace_id == workspace_id)
        .order_by(AuditLog.at.desc(), AuditLog.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(AuditLog.at, AuditLog.id) < before)
    if action is not None:
        statement = statement.where(AuditLog.action == action)
    if target is not None:
        statement = statement.where(AuditLog.target == target)
    return list((await session.execute(statement)).scalars())
