"""Money that goes back, because a server could not be made or a payment came after the end.

Asked for in one transaction with the wish that the server shall not be; carried out by the worker, whose every try asks
Stripe under the same key, so that a crash in between gives nothing back twice.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.errors import NotRefundable
from services.provisioner.models import Refund, Subscription
from services.provisioner.ports import BillingPort, PaymentError
from services.provisioner.servers import repository as server_rows
from services.provisioner.servers import service as servers
from services.provisioner.subscriptions import repository as subscriptions
from services.provisioner.subscriptions.schemas import RefundView
from services.provisioner.subscriptions.views import refund_view
from shared import audit
from shared.bus import outbox
from shared.contracts.provisioner_events import SubscriptionRefunded
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.observability.logging import get_logger

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 900.0

_log = get_logger("refunds")


async def ask(session: AsyncSession, identity: Identity, subscription_id: str) -> RefundView:
    """The customer does not want to wait. Asked for again, it is the same refund. Raises NotFound, NotRefundable."""
    row = await subscriptions.get(session, subscription_id)
    if row is None:
        raise NotFound
    found = (await subscriptions.servers(session, [row.id])).get(row.id)
    if found is None or row.stripe_subscription_id is None:
        raise NotRefundable("Nothing has been paid for it.")
    server = await server_rows.lock(session, found.id)
    known = await subscriptions.refund(session, row.id)
    if known is not None:
        return refund_view(known)
    if server is None or server.ever_ready:
        raise NotRefundable(
            "The server has been ready.", next_action="Cancel it; nothing more is charged then."
        )
    stop = (await subscriptions.stops(session, [server.id])).get(server.id)
    if server.desired == "absent" or stop is None:
        raise NotRefundable(
            "Only a server that cannot be made is refunded.", next_action="Follow its job, or cancel it."
        )
    await request(session, row, row.stripe_subscription_id, reason=stop.reason, requested_by=identity.subject)
    await servers.end(session, server, requested_by=identity.subject, reason="refunded before it was ready")
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor=identity,
        action="provisioner.subscription.refund_requested",
        target=row.id,
        data={"stop": stop.reason},
    )
    made = await subscriptions.refund(session, row.id)
    assert made is not None
    return refund_view(made)


async def request(
    session: AsyncSession,
    row: Subscription,
    stripe_subscription_id: str,
    *,
    reason: str,
    requested_by: str,
) -> None:
    """One per subscription: a second request changes nothing."""
    await session.execute(
        insert(Refund)
        .values(
            id=new_id("rfd"),
            workspace_id=row.workspace_id,
            subscription_id=row.id,
            stripe_subscription_id=stripe_subscription_id,
            reason=reason,
            requested_by=requested_by,
        )
        .on_conflict_do_nothing(index_elements=["subscription_id"])
    )


class Refunds:
    """The worker's side. Any number may run: a claimed refund is not due again before its pause is over."""

    def __init__(self, database: Database, billing: BillingPort) -> None:
        self._database = database
        self._billing = billing

    async def run(self) -> None:
        while await self.work_once():
            pass

    async def work_once(self) -> bool:
        """False when nothing is due. What Stripe does not do is tried again, with a growing pause."""
        async with self._database.transaction() as session:
            refund = await _claim(session)
        if refund is None:
            return False
        stripe_id = refund.stripe_subscription_id
        try:
            await self._billing.end_subscription(stripe_id)
            crashpoint("refund.after_end")
            amount = await self._billing.refund(stripe_id, key=refund.id)
        except PaymentError as error:
            _log.error("not refunded", refund_id=refund.id, detail=str(error), attempts=refund.attempts)
            return True
        crashpoint("refund.before_done")
        async with self._database.transaction() as session:
            await _done(session, refund.id, amount)
        return True


async def _claim(session: AsyncSession) -> Refund | None:
    refund = await session.scalar(
        select(Refund)
        .where(Refund.state == "requested", Refund.next_at <= func.now())
        .order_by(Refund.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if refund is not None:
        pause = min(FIRST_PAUSE * 2 ** min(refund.attempts, 12), LONGEST_PAUSE)
        refund.attempts += 1
        refund.next_at = func.now() + timedelta(seconds=pause)
        await session.flush()
        await session.refresh(refund)
    return refund


async def _done(session: AsyncSession, refund_id: str, amount: int) -> None:
    refund = await session.get_one(Refund, refund_id, with_for_update=True)
    if refund.state == "done":
        return
    row = await subscriptions.lock(session, refund.subscription_id)
    assert row is not None
    refund.state, refund.amount, refund.currency = "done", amount, row.currency or "eur"
    refund.done_at = await session.scalar(select(func.now()))
    row.version += 1
    await outbox.emit(
        session,
        SubscriptionRefunded(
            workspace_id=row.workspace_id,
            subscription_id=row.id,
            plan=row.plan,
            amount=amount,
            currency=refund.currency,
        ),
        subject=row.id,
        workspace_id=row.workspace_id,
        aggregate_version=row.version,
    )
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor="provisioner",
        action="provisioner.subscription.refunded",
        target=row.id,
        data={"amount": amount, "currency": refund.currency, "reason": refund.reason},
    )
