"""Taking in a webhook. What it sets in motion is the worker's (`inbox.py`)."""

from __future__ import annotations

from datetime import datetime

from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.billing import repository
from services.provisioner.billing.schemas import StripeEventBody, WebhookTaken
from services.provisioner.billing.signature import SignatureRejected, verify
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
