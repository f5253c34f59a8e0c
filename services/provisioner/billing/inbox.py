"""The worker's side of the webhooks: one event at a time, Stripe is asked again, and its answer is acted upon.

An event is nothing but a hint that there is something to look at. Looks are numbered before Stripe is asked, so that
one that took long cannot put back what a later one has seen.
"""

from __future__ import annotations

from services.provisioner.billing import grant, invoices, repository
from services.provisioner.models import StripeEvent
from services.provisioner.ports import BillingPort, PaymentInvoice
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.observability.logging import get_logger

INVOICE_PAID = "invoice.paid"
INVOICE = "invoice."
SUBSCRIPTION = "customer.subscription."
PAGE_EXPIRED = "checkout.session.expired"

_log = get_logger("billing")


class Inbox:
    """Any number may run: a claimed event is not due again before its pause is over."""

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
            look = await repository.next_look(session)
        try:
            outcome = await self._process(event, look)
        except Exception as error:  # bounded by the growing pause; the event stays until it was processed
            _log.error("webhook not processed", event_id=event.id, type=event.type, exc_info=error)
            return True
        crashpoint("inbox.before_done")
        async with self._database.transaction() as session:
            await repository.done(session, event.id, outcome)
        _log.info("webhook processed", event_id=event.id, type=event.type, outcome=outcome)
        return True

    async def _process(self, event: StripeEvent, look: int) -> str:
        if not event.object_id:
            return "noted"
        if event.type.startswith(INVOICE):
            return await self._invoice(event, look)
        if event.type.startswith(SUBSCRIPTION):
            return await self._subscription(event.object_id, look, paid=False)
        if event.type == PAGE_EXPIRED:
            page = await self._billing.page(event.object_id)
            async with self._database.transaction() as session:
                return await grant.expire(session, page)
        return "noted"

    async def _invoice(self, event: StripeEvent, look: int) -> str:
        invoice = await self._billing.invoice(event.object_id)
        if invoice.stripe_subscription_id is None:
            return "no_subscription"
        return await self._subscription(
            invoice.stripe_subscription_id,
            look,
            paid=event.type == INVOICE_PAID and invoice.status == "paid",
            invoice=invoice,
        )

    async def _subscription(
        self, stripe_subscription_id: str, look: int, *, paid: bool, invoice: PaymentInvoice | None = None
    ) -> str:
        first = look
        while True:
            seen = await self._billing.subscription(stripe_subscription_id)
            async with self._database.transaction() as session:
                outcome = await grant.take_in(session, seen, look, self._platform_zone, paid=paid)
                if outcome != grant.OVERTAKEN:
                    if invoice is not None and outcome not in grant.NOT_OURS:
                        ours = seen.metadata.get("subscription_id", "")
                        await invoices.keep(session, invoice, ours, first)
                    return outcome
                look = await repository.next_look(session)
