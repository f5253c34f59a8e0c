"""What a webhook sets in motion. Only a paid invoice, as Stripe itself confirms it, makes a server."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.billing import repository
from services.provisioner.billing.schemas import StripeEventBody, WebhookTaken
from services.provisioner.billing.signature import SignatureRejected, verify
from services.provisioner.models import StripeEvent, Subscription
from services.provisioner.ports import BillingPort, PaymentSubscription
from services.provisioner.servers import service as servers
from services.provisioner.subscriptions import service as subscriptions
from shared import audit
from shared.db.database import Database
from shared.observability.logging import get_logger
from shared.web.signed_body import BadSignature

INVOICE_PAID = "invoice.paid"
SUBSCRIPTION_EVENTS = frozenset({"customer.subscription.updated", "customer.subscription.deleted"})
STATUS_OF: dict[str, Literal["past_due", "ended"]] = {
    "past_due": "past_due",
    "unpaid": "past_due",
    "canceled": "ended",
    "incomplete_expired": "ended",
}

_log = get_logger("billing")


async def take(
    session: AsyncSession, body: bytes, header: str | None, secret: SecretStr, now: datetime
) -> WebhookTaken:
    """Raises BadSignature, also for a body that is no event."""
    try:
        verify(body, header, secret, now)
        event = StripeEventBody.model_validate_json(body)
    except (SignatureRejected, ValidationError) as error:
        _log.warning("webhook refused", reason=str(error)[:200])
        raise BadSignature("The webhook was not signed by our account, or is not an event.") from None
    new = await repository.remember(session, event.id, event.type, event.data.object.id)
    return WebhookTaken(new=new)


class Inbox:
    """The worker's side: takes one event at a time, asks Stripe again, and acts on the answer."""

    def __init__(self, database: Database, billing: BillingPort, platform_zone: str) -> None:
        self._database = database
        self._billing = billing
        self._platform_zone = platform_zone

    async def work_once(self) -> bool:
        """False when nothing is due. A failure is tried again later, with a growing pause."""
        async with self._database.transaction() as session:
            event = await repository.claim(session)
        if event is None:
            return False
        try:
            outcome = await self._process(event)
        except Exception as error:  # bounded by the growing pause; the event stays until it was processed
            _log.error("webhook not processed", event_id=event.id, type=event.type, exc_info=error)
            return True
        async with self._database.transaction() as session:
            await repository.done(session, event.id, outcome)
        _log.info("webhook processed", event_id=event.id, type=event.type, outcome=outcome)
        return True

    async def _process(self, event: StripeEvent) -> str:
        if event.type == INVOICE_PAID:
            return await self._invoice_paid(event.object_id)
        if event.type in SUBSCRIPTION_EVENTS:
            return await self._subscription_changed(event.object_id)
        return "noted"

    async def _invoice_paid(self, invoice_id: str) -> str:
        invoice = await self._billing.invoice(invoice_id)
        if invoice.status != "paid" or invoice.stripe_subscription_id is None:
            return f"not_paid_{invoice.status}"
        paid = await self._billing.subscription(invoice.stripe_subscription_id)
        async with self._database.transaction() as session:
            return await grant(session, paid, self._platform_zone)

    async def _subscription_changed(self, stripe_subscription_id: str) -> str:
        now = await self._billing.subscription(stripe_subscription_id)
        async with self._database.transaction() as session:
            row = await repository.lock(session, now.metadata.get("subscription_id", ""))
            if row is None:
                return "unknown_subscription"
            return await _follow(session, row, now)


async def _follow(session: AsyncSession, row: Subscription, now: PaymentSubscription) -> str:
    """The provider's word about an active subscription. It never makes one active: only a paid invoice does."""
    if row.stripe_subscription_id not in (None, now.id):
        return "another_subscription"
    row.stripe_status = now.status
    wanted = STATUS_OF.get(now.status)
    if wanted and row.status in ("active", "past_due") and row.status != wanted:
        await subscriptions.change_status(session, row, wanted)
        _log.warning("subscription changed", subscription_id=row.id, status=wanted)
    return f"status_{now.status}"


async def grant(session: AsyncSession, paid: PaymentSubscription, platform_zone: str) -> str:
    """One paid subscription, one server, however often and in whatever order it is told."""
    row = await repository.lock(session, paid.metadata.get("subscription_id", ""))
    if row is None or row.workspace_id != paid.metadata.get("workspace_id"):
        _log.error("paid, but for no subscription of ours", stripe_subscription_id=paid.id)
        return "unknown_subscription"
    if row.stripe_subscription_id not in (None, paid.id):
        _log.error("paid twice for one subscription", subscription_id=row.id, stripe_subscription_id=paid.id)
        return "another_subscription"
    if row.status in ("refused", "ended"):
        _log.error("paid after its end: to be refunded", subscription_id=row.id)
        return f"refund_due_{row.status}"
    row.stripe_subscription_id, row.stripe_customer_id = paid.id, paid.customer_id
    row.stripe_status = paid.status
    if row.status == "active":
        return "already_active"
    row.status = "active"
    row.version += 1
    if row.activated_at is not None:
        return "active_again"
    row.activated_at = await repository.now(session)
    server = await servers.create(session, row, platform_zone)
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor="provisioner",
        action="provisioner.subscription.activated",
        target=row.id,
        data={"server_id": server.id},
    )
    return "granted"
