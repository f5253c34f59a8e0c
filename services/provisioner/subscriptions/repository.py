"""Rows behind subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Condition, Price, Refund, Server, Subscription, WorkspaceDeletion
from services.provisioner.reconciler.outcomes import STOPS

INTENT_LIFE = timedelta(days=2)
MOST_AT_ONCE = 100


def _opened() -> ColumnElement[bool]:
    """Not a mere intent: its payment page is there, or it has got beyond that."""
    return or_(Subscription.status != "pending", Subscription.checkout_session_id.is_not(None))


async def get(session: AsyncSession, subscription_id: str) -> Subscription | None:
    return await session.scalar(select(Subscription).where(Subscription.id == subscription_id, _opened()))


async def lock(session: AsyncSession, subscription_id: str) -> Subscription | None:
    """Also one whose payment page is not there yet."""
    return await session.scalar(
        select(Subscription).where(Subscription.id == subscription_id).with_for_update()
    )


async def page(
    session: AsyncSession, workspace_id: str, after: str | None, limit: int
) -> Sequence[Subscription]:
    query = (
        select(Subscription)
        .where(Subscription.workspace_id == workspace_id, _opened())
        .order_by(Subscription.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(Subscription.id > after)
    return (await session.scalars(query)).all()


async def servers(session: AsyncSession, subscription_ids: Sequence[str]) -> dict[str, Server]:
    """subscription → its server, also one that is gone"""
    rows = await session.scalars(select(Server).where(Server.subscription_id.in_(subscription_ids)))
    return {row.subscription_id: row for row in rows}


async def forget_intents(session: AsyncSession) -> int:
    """Purchases that broke off for good: a payment page that may be there has expired, and so has the caller's key."""
    gone = await session.scalars(
        delete(Subscription)
        .where(
            Subscription.status.in_(("pending", "expired", "refused")),
            Subscription.checkout_session_id.is_(None),
        )
        .where(
            Subscription.created_at < func.now() - INTENT_LIFE, Subscription.stripe_subscription_id.is_(None)
        )
        .returning(Subscription.id)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


async def old_pages(session: AsyncSession) -> Sequence[str]:
    """Payment pages that must have expired, whose end was never told."""
    found = await session.scalars(
        select(Subscription.checkout_session_id)
        .where(Subscription.status == "pending", Subscription.checkout_session_id.is_not(None))
        .where(Subscription.created_at < func.now() - INTENT_LIFE)
        .order_by(Subscription.id)
        .limit(MOST_AT_ONCE)
    )
    return [str(one) for one in found]


async def stops(session: AsyncSession, server_ids: Sequence[str]) -> dict[str, Condition]:
    """server → why it cannot be made, for those that are stopped"""
    rows = await session.scalars(
        select(Condition)
        .join(Server, Server.id == Condition.server_id)
        .where(Condition.server_id.in_(server_ids), Server.ever_ready.is_(False), Server.desired == "present")
        .where(Condition.status == "false", Condition.reason.in_(STOPS))
    )
    return {row.server_id: row for row in rows}


async def refund(session: AsyncSession, subscription_id: str) -> Refund | None:
    return await session.scalar(select(Refund).where(Refund.subscription_id == subscription_id))


async def refunds(session: AsyncSession, subscription_ids: Sequence[str]) -> dict[str, Refund]:
    rows = await session.scalars(select(Refund).where(Refund.subscription_id.in_(subscription_ids)))
    return {row.subscription_id: row for row in rows}


async def customer(session: AsyncSession, workspace_id: str) -> str | None:
    """Whom Stripe knows this workspace as; the one of its latest subscription."""
    found: str | None = await session.scalar(
        select(Subscription.stripe_customer_id)
        .where(Subscription.workspace_id == workspace_id, Subscription.stripe_customer_id.is_not(None))
        .order_by(Subscription.activated_at.desc(), Subscription.id.desc())
        .limit(1)
    )
    return found


async def price(session: AsyncSession, plan: str) -> Price | None:
    """What the plan is sold at, once the payment provider has it."""
    return await session.get(Price, plan)


async def is_ending(session: AsyncSession, workspace_id: str) -> bool:
    return await session.get(WorkspaceDeletion, workspace_id) is not None
