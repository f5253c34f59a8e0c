"""Rows of threats."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Threat, Workspace


async def workspace_exists(session: AsyncSession, workspace_id: str) -> bool:
    statement = select(Workspace.id).where(Workspace.id == workspace_id)
    return (await session.execute(statement)).first() is not None


async def add(session: AsyncSession, row: dict[str, Any]) -> None:
    await session.execute(insert(Threat).values(**row).on_conflict_do_nothing(index_elements=["id"]))


async def page(
    session: AsyncSession,
    workspace_id: str,
    *,
    before: tuple[datetime, str] | None,
    limit: int,
    kind: str | None,
) -> list[Threat]:
    """Newest first."""
    statement = (
        select(Threat)
        .where(Threat.workspace_id == workspace_id)
        .order_by(Threat.last_at.desc(), Threat.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(Threat.last_at, Threat.id) < before)
    if kind is not None:
        statement = statement.where(Threat.kind == kind)
    return list((await session.execute(statement)).scalars())
