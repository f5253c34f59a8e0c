"""The webhook. It writes down what there is to look at, answers at once, and believes nothing but the signature."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request

from services.provisioner.billing import service
from services.provisioner.billing.schemas import WebhookTaken
from services.provisioner.wiring import Wired
from shared.web import SessionDep, public
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
