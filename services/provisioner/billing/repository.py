"""The inbox of signed events, and the subscriptions they are about."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import StripeEvent

CHANNEL = "stripe"
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 900.0


async def remember(session: AsyncSession, event_id: str, kind: str, object_id: str) -> bool:
    """False when the event was known."""
    added = await session.execute(
        insert(StripeEvent)
        .values(id=event_id, type=kind, object_id=object_id)
        .on_conflict_do_nothing()
        .returning(StripeEvent.id)
    )
    new = added.first() is not None
    if new:
        await session.execute(select(func.pg_notify(CHANNEL, event_id)))
    return new


async def claim(session: AsyncSession) -> StripeEvent | None:
    """The oldest event that is due; it is due again after a pause that grows with each try."""
    event = await session.scalar(
        select(StripeEvent)
        .where(StripeEvent.processed_at.is_(None), StripeEvent.next_at <= func.now())
        .order_by(StripeEvent.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if event is None:
        return None
    pause = min(FIRST_PAUSE * 2 ** min(event.attempts, 12), LONGEST_PAUSE)
    event.attempts += 1
    event.next_at = await now(session) + timedelta(seconds=pause)
    return event


async def next_look(session: AsyncSession) -> int:
    """Greater than every number given out before. To be taken before Stripe is asked: of two looks, the one that
    began after the last change has the greater number."""
    number: int = await session.scalar(select(func.nextval("stripe_look")))  # type: ignore[assignment]
    return number


async def done(session: AsyncSession, event_id: str, outcome: str) -> None:
    await session.execute(
        update(StripeEvent)
        .where(StripeEvent.id == event_id)
        .values(processed_at=func.now(), outcome=outcome)
        .execution_options(synchronize_session=False)
    )


async def now(session: AsyncSession) -> datetime:
    moment: datetime = await session.scalar(select(func.now()))  # type: ignore[assignment]
    return moment
