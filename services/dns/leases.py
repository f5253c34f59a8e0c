"""Taking work that is due: each row by one worker at a time, and by another one when that worker dies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.models import Nameset, Zone


async def claim_namesets(
    session: AsyncSession, now: datetime, lease: timedelta, limit: int
) -> Sequence[Nameset]:
    """Due name sets, leased to the caller. Each claim raises the row's fence: a write with an older one is void."""
    free = or_(Nameset.lease_until.is_(None), Nameset.lease_until < now)
    due = (
        select(Nameset.server_id)
        .where(Nameset.due_at <= now, free, Nameset.gone.is_(False))
        .order_by(Nameset.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = update(Nameset).where(Nameset.server_id.in_(due))
    values = {"lease_until": now + lease, "fence": Nameset.fence + 1}
    return (await session.scalars(statement.values(**values).returning(Nameset))).all()


async def claim_zones(session: AsyncSession, now: datetime, lease: timedelta, limit: int) -> Sequence[Zone]:
    """Due zones, leased to the caller."""
    free = or_(Zone.lease_until.is_(None), Zone.lease_until < now)
    due = (
        select(Zone.id)
        .where(Zone.due_at <= now, free, Zone.state != "removed")
        .order_by(Zone.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = update(Zone).where(Zone.id.in_(due))
    values = {"lease_until": now + lease, "fence": Zone.fence + 1}
    return (await session.scalars(statement.values(**values).returning(Zone))).all()
