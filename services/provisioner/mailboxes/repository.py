"""Rows behind mailboxes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Mailbox, Server


async def get(session: AsyncSession, mailbox_id: str) -> Row[Mailbox, Server] | None:
    query = (
        select(Mailbox, Server).join(Server, Server.id == Mailbox.server_id).where(Mailbox.id == mailbox_id)
    )
    return (await session.execute(query)).one_or_none()


async def page(
    session: AsyncSession, workspace_id: str, after: str | None, limit: int
) -> Sequence[Row[Mailbox, Server]]:
    query = (
        select(Mailbox, Server)
        .join(Server, Server.id == Mailbox.server_id)
        .where(Mailbox.workspace_id == workspace_id)
        .order_by(Mailbox.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(Mailbox.id > after)
    return (await session.execute(query)).all()


async def count(session: AsyncSession, server_id: str) -> int:
    return int(
        await session.scalar(
            select(func.count()).where(Mailbox.server_id == server_id, Mailbox.state != "removing")
        )
        or 0
    )
