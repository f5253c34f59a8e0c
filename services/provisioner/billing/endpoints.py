"""Invoices, the customer's page at Stripe, and the webhook.

That writes down what there is to look at, answers at once, and believes nothing but the signature.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from services.provisioner.billing import invoices, refunds, service
from services.provisioner.billing.schemas import InvoiceView, PortalView, WebhookTaken
from services.provisioner.subscriptions.schemas import RefundView
from services.provisioner.wiring import Wired
from shared.ids import SubscriptionId, WorkspaceId
from shared.web import (
    DatabaseDep,
    IdempotencyDep,
    IdentityDep,
    Page,
    PageDep,
    SessionDep,
    public,
    requires,
)
from shared.web.signed_body import SIGNED_JSON, read_bounded

router = APIRouter(tags=["Billing"])


@router.post("/v1/webhooks/stripe", dependencies=[public()], openapi_extra=SIGNED_JSON)
async def stripe_webhook(
    request: Request,
    session: SessionDep,
    wired: Wired,
    signature: Annotated[str | None, Header(alias="Stripe-Signature", max_length=2048)] = None,
) -> WebhookTaken:
    """Takes a signed event of Stripe. The same event twice changes nothing."""
    body = await read_bounded(request.stream())
    return await service.take(
        session, body, signature, wired.settings.stripe_webhook_secret, wired.clock.now()
    )


@router.get("/v1/workspaces/{workspace_id}/invoices", dependencies=[requires("billing.read")])
async def list_invoices(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[InvoiceView]:
    """Newest first. An open one can be paid at its `hosted_url`."""
    return await invoices.page(session, workspace_id, page)


@router.post("/v1/workspaces/{workspace_id}/billing/portal", dependencies=[requires("billing.write")])
async def portal(workspace_id: WorkspaceId, database: DatabaseDep, wired: Wired) -> PortalView:
    """Opens the payment provider's page: means of payment, invoices, cancellation. Each call makes a new address."""
    return await service.open_portal(database, workspace_id, wired.checkout)


@router.post(
    "/v1/workspaces/{workspace_id}/subscriptions/{subscription_id}/refund",
    status_code=202,
    response_model=RefundView,
    dependencies=[requires("billing.write")],
)
async def refund(
    workspace_id: WorkspaceId,
    subscription_id: SubscriptionId,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
) -> Response:
    """For a server that cannot be made: all that was paid goes back, the subscription ends. Not once it was Ready."""
    return await idempotency.run(
        status_code=202, call=lambda: refunds.ask(session, identity, subscription_id)
    )
