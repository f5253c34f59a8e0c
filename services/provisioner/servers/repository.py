"""Rows behind servers."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Address, Condition, Server
from services.provisioner.reconciler.lease import idle_limit


async def get(session: AsyncSession, server_id: str) -> Server | None:
    """One that still exists."""
    return await session.scalar(select(Server).where(Server.id == server_id, Server.deleted_at.is_(None)))


async def lock(session: AsyncSession, server_id: str) -> Server | None:
    row: Server | None = await session.scalar(
        select(Server, idle_limit())
        .where(Server.id == server_id, Server.deleted_at.is_(None))
        .with_for_update()
    )
    return row


async def page(session: AsyncSession, workspace_id: str, after: str | None, limit: int) -> Sequence[Server]:
    query = (
        select(Server)
        .where(Server.workspace_id == workspace_id, Server.deleted_at.is_(None))
        .order_by(Server.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(Server.id > after)
    return (await session.scalars(query)).all()


async def conditions(session: AsyncSession, server_ids: Sequence[str]) -> dict[str, dict[str, Condition]]:
    """server → type → condition"""
    found: dict[str, dict[str, Condition]] = {server_id: {} for server_id in server_ids}
    for row in await session.scalars(select(Condition).where(Condition.server_id.in_(server_ids))):
        found[row.server_id][row.type] = row
    return found


async def addresses(session: AsyncSession, server_ids: Sequence[str]) -> dict[str, list[Address]]:
    found: dict[str, list[Address]] = {server_id: [] for server_id in server_ids}
    query = select(Address).where(Address.server_id.in_(server_ids)).order_by(Address.id)
    for row in await session.scalars(query):
        found[row.server_id].append(row)
    return found
