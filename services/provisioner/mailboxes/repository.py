"""Rows behind mailboxes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Domain, Mailbox, Server


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
    """Those that it serves, and those on their way to it."""
    query = (
        select(func.count())
        .select_from(Mailbox)
        .join(Domain, Domain.id == Mailbox.domain_id)
        .where(
            or_(Mailbox.server_id == server_id, Domain.server_id == server_id), Mailbox.state != "removing"
        )
    )
    return int(await session.scalar(query) or 0)


async def count_of_domain(session: AsyncSession, domain_id: str) -> int:
    query = select(func.count()).where(Mailbox.domain_id == domain_id, Mailbox.state != "removing")
    return int(await session.scalar(query) or 0)
