"""Taking in a webhook, which sets the worker in motion (`inbox.py`), and the customer's page at Stripe."""

from __future__ import annotations

from datetime import datetime

from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.billing import repository
from services.provisioner.billing.inbox import PAGE_EXPIRED
from services.provisioner.billing.schemas import PortalView, StripeEventBody, WebhookTaken
from services.provisioner.billing.signature import SignatureRejected, verify
from services.provisioner.errors import NothingPaid, PaymentUnavailable
from services.provisioner.ports import CheckoutPort, PaymentError
from services.provisioner.subscriptions import repository as subscriptions
from shared.db.database import Database
from shared.observability.logging import get_logger
from shared.web.signed_body import BadSignature

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


async def ask_about_old_pages(database: Database) -> int:
    """Payment pages whose end was never told are looked at as if it had been. How many."""
    async with database.transaction() as session:
        pages = await subscriptions.old_pages(session)
        told = [await repository.remember(session, f"evt_asked_{one}", PAGE_EXPIRED, one) for one in pages]
    return sum(told)


async def open_portal(database: Database, workspace_id: str, checkout: CheckoutPort) -> PortalView:
    """No connection to the database is held while Stripe is asked. Raises NothingPaid, PaymentUnavailable."""
    async with database.transaction(workspace_id=workspace_id) as session:
        customer_id = await subscriptions.customer(session, workspace_id)
    if customer_id is None:
        raise NothingPaid(
            "Stripe does not know this workspace yet.",
            next_action="Buy a server first; its payment page is next.",
        )
    try:
        return PortalView(url=await checkout.open_portal(customer_id=customer_id, workspace_id=workspace_id))
    except PaymentError as error:
        _log.error("no portal session", detail=str(error), retryable=error.retryable)
        raise PaymentUnavailable("The billing page could not be opened.", retry_after=5) from error
