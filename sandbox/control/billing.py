"""What the buyer does at Stripe, what time does to a subscription, and Stripe's webhooks."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from sandbox.control.body import Body
from sandbox.control.webhooks import add_webhook_routes
from sandbox.control.wiring import Wiring
from sandbox.stripe import billing, checkout


class Renewal(Body):
    paid: bool


def create_router(wiring: Wiring) -> APIRouter:
    """The buyer's side of Stripe, and its webhooks."""
    router = APIRouter(prefix="/stripe")

    add_webhook_routes(router, wiring.webhooks)

    @router.post("/checkout/{session_id}/pay")
    async def pay(session_id: str) -> dict[str, Any]:
        return checkout.pay(wiring.stripe, session_id)

    @router.post("/invoices/{invoice_id}/pay")
    async def settle(invoice_id: str) -> dict[str, Any]:
        return billing.settle(wiring.stripe, invoice_id)

    @router.post("/subscriptions/{subscription_id}/give-up")
    async def give_up(subscription_id: str) -> dict[str, Any]:
        return billing.give_up(wiring.stripe, subscription_id)

    @router.post("/subscriptions/{subscription_id}/renew")
    async def renew(subscription_id: str, body: Renewal) -> dict[str, Any]:
        return billing.renew(wiring.stripe, subscription_id, paid=body.paid)

    return router
