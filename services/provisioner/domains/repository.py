"""Rows behind domains."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import BEFORE_OPENING, Domain, Mailbox, ProvenZone, Server
from services.provisioner.reconciler.lease import wake


async def get(session: AsyncSession, domain_id: str) -> Domain | None:
    return await session.get(Domain, domain_id)


async def fresh(session: AsyncSession, domain_id: str) -> Domain | None:
    """As it is now, after its server's row was locked: it may have moved or gone while we waited for the lock."""
    return await session.get(Domain, domain_id, populate_existing=True)


async def page(session: AsyncSession, workspace_id: str, after: str | None, limit: int) -> Sequence[Domain]:
    query = select(Domain).where(Domain.workspace_id == workspace_id).order_by(Domain.id).limit(limit)
    if after is not None:
        query = query.where(Domain.id > after)
    return (await session.scalars(query)).all()


async def proven_zone(session: AsyncSession, name: str) -> ProvenZone | None:
    """Of the workspace in whose context the transaction runs."""
    return await session.scalar(select(ProvenZone).where(ProvenZone.name == name, ProvenZone.proven))


async def count(session: AsyncSession, server_id: str) -> int:
    return int(
        await session.scalar(
            select(func.count()).where(
                or_(
                    Domain.server_id == server_id,
                    # One that leaves can still be taken back.
                    and_(Domain.moving_from == server_id, Domain.move_phase.in_(BEFORE_OPENING)),
                ),
                Domain.state != "removing",
            )
        )
        or 0
    )


async def has_mailboxes(session: AsyncSession, domain_id: str) -> bool:
    query = select(Mailbox.id).where(Mailbox.domain_id == domain_id, Mailbox.state != "removing").limit(1)
    return await session.scalar(query) is not None


async def next_generation(session: AsyncSession, server: Server) -> int:
    """The wish has changed: a new generation, and the reconciler is woken. The row must be locked."""
    generation = await session.scalar(
        update(Server)
        .where(Server.id == server.id)
        .values(generation=Server.generation + 1)
        .returning(Server.generation)
        .execution_options(synchronize_session=False)
    )
    await session.refresh(server, ["generation"])
    await wake(session, server.id)
    return int(generation or 0)
