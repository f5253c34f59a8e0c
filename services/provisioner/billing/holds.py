"""Who waits for a server that cannot be made is not charged meanwhile.

Level-triggered: each run compares which servers are stopped before they ever were Ready with whose collection is held
at Stripe, and makes the difference good, one subscription after the other.
"""

from __future__ import annotations

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Condition, Server, Subscription
from services.provisioner.ports import BillingPort, PaymentError
from services.provisioner.reconciler.outcomes import STOPS
from services.provisioner.subscriptions import repository as subscriptions
from shared import audit
from shared.db.database import Database
from shared.observability.logging import get_logger

_log = get_logger("holds")


class Holds:
    """`run` may be called by several workers at once: Stripe is told what shall be, not what shall change."""

    def __init__(self, database: Database, billing: BillingPort) -> None:
        self._database = database
        self._billing = billing

    async def run(self) -> None:
        async with self._database.transaction() as session:
            todo = [(row, True) for row in await _to_hold(session)]
            todo += [(row, False) for row in await _to_charge(session)]
        for row, held in todo:
            assert row.stripe_subscription_id is not None
            try:
                await self._billing.hold_collection(row.stripe_subscription_id, held=held)
            except PaymentError as error:  # the next run tries again
                _log.error("collection not changed", subscription_id=row.id, detail=str(error))
                continue
            async with self._database.transaction() as session:
                await _note(session, row.id, held)


async def _to_hold(session: AsyncSession) -> list[Subscription]:
    stopped = exists().where(
        Condition.server_id == Server.id, Condition.status == "false", Condition.reason.in_(STOPS)
    )
    query = (
        select(Subscription)
        .join(Server, Server.subscription_id == Subscription.id)
        .where(Server.desired == "present", Server.ever_ready.is_(False), stopped)
        .where(Subscription.collection_held_at.is_(None), Subscription.stripe_subscription_id.is_not(None))
    )
    return list(await session.scalars(query))


async def _to_charge(session: AsyncSession) -> list[Subscription]:
    """Those whose server has become Ready after all; one that was given up is not charged again."""
    query = (
        select(Subscription)
        .join(Server, Server.subscription_id == Subscription.id)
        .where(Server.desired == "present", Server.ever_ready)
        .where(Subscription.collection_held_at.is_not(None))
    )
    return list(await session.scalars(query))


async def _note(session: AsyncSession, subscription_id: str, held: bool) -> None:
    row = await subscriptions.lock(session, subscription_id)
    if row is None or (row.collection_held_at is not None) == held:
        return
    row.collection_held_at = await session.scalar(select(func.now())) if held else None
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor="provisioner",
        action=f"provisioner.subscription.collection_{'held' if held else 'resumed'}",
        target=row.id,
    )
