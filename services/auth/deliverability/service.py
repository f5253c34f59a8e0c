"""What the mail provider tells about our mails: delivered, delayed, returned, called spam.

An address whose mail came back for good gets none for a month: it may exist again by then, and the next return
begins another. One whose owner called a mail spam gets none until he says otherwise, but for what the safety of his
account depends on. Both are shown, and can be lifted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.deliverability import repository
from services.auth.deliverability.schemas import (
    MailEvent,
    MailState,
    UndeliverableList,
    UndeliverableView,
    WebhookTaken,
)
from services.auth.errors import ComplaintStands
from services.auth.ports import MailWebhook, SignatureRejected
from shared.clock import Clock
from shared.errors import NotFound, Unauthenticated
from shared.observability.logging import get_logger
from shared.web.signed_body import BadSignature

BOUNCE_HOLDS: Final = timedelta(days=30)
DELIVERIES: Final = {
    "email.delivered": "delivered",
    "email.delivery_delayed": "delayed",
    "email.bounced": "bounced",
    "email.suppressed": "bounced",
    "email.complained": "complained",
    "email.failed": "failed",
}

_log = get_logger("deliverability")


async def take(
    session: AsyncSession,
    body: bytes,
    *,
    event_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    webhook: MailWebhook,
    now: datetime,
) -> WebhookTaken:
    """Raises BadSignature, also for a body that is no event. The same event twice changes nothing."""
    try:
        webhook.verify(body, event_id=event_id, timestamp=timestamp, signatures=signatures, now=now)
        event = MailEvent.model_validate_json(body)
    except (SignatureRejected, ValidationError) as error:
        reason = error.reason if isinstance(error, SignatureRejected) else "not an event"
        _log.warning("webhook refused", reason=reason)
        raise BadSignature("The webhook was not signed by our account, or is not an event.") from None
    new = await repository.is_new(session, event_id or "")
    if new:
        await _apply(session, event, now)
    return WebhookTaken(new=new)


async def _apply(session: AsyncSession, event: MailEvent, now: datetime) -> None:
    delivery = DELIVERIES.get(event.type)
    if delivery is None:
        return
    await repository.note_delivery(
        session,
        reference=event.data.tags.get("notification", ""),
        provider_id=event.data.email_id,
        delivery=delivery,
    )
    at = min(event.created_at, now)
    if event.type == "email.complained":
        reason, until = "complained", None
    elif event.type == "email.suppressed" or (
        event.type == "email.bounced" and event.data.bounce.type == "Permanent"
    ):
        reason, until = "bounced", at + BOUNCE_HOLDS
    else:
        return
    for address in event.data.to:
        detail = _printable(event.data.bounce.message)
        await repository.suppress(session, address.strip().lower(), reason, detail, at=at, until=until)
    _log.warning(
        "address suppressed", reason=reason, addresses=len(event.data.to), email_id=event.data.email_id
    )


def _printable(message: str) -> str:
    return "".join(each if each.isprintable() else " " for each in message)[:300].strip()


async def state(session: AsyncSession, clock: Clock, account_id: str) -> MailState:
    email = await repository.email_of(session, account_id)
    if email is None:
        raise Unauthenticated("The account is gone.")
    row = await repository.in_force(session, email, clock.now())
    if row is None:
        return MailState(email=email, deliverable=True)
    return MailState.model_validate(
        {
            "email": email,
            "deliverable": False,
            "reason": row.reason,
            "detail": row.detail,
            "since": row.since,
            "until": row.until,
        }
    )


async def lift_own(session: AsyncSession, clock: Clock, account_id: str) -> MailState:
    """The person says that his address works, or that he wants mails again. Lifting nothing is no error."""
    email = await repository.email_of(session, account_id)
    row = None if email is None else await repository.in_force(session, email, clock.now())
    if row is not None:
        await repository.lift(session, row.id, clock.now())
    return await state(session, clock, account_id)


async def of_workspace(session: AsyncSession, clock: Clock, workspace_id: str) -> UndeliverableList:
    rows = await repository.in_workspace(session, workspace_id, clock.now())
    return UndeliverableList(
        items=[
            UndeliverableView.model_validate(
                {
                    "id": row.id,
                    "of": of,
                    "email": row.email,
                    "reason": row.reason,
                    "detail": row.detail,
                    "since": row.since,
                    "until": row.until,
                }
            )
            for row, of in rows
        ]
    )


async def lift_in_workspace(
    session: AsyncSession, clock: Clock, workspace_id: str, suppression_id: str
) -> None:
    """For an address of a member or of an open invitation. Raises NotFound, ComplaintStands."""
    rows = await repository.in_workspace(session, workspace_id, clock.now())
    row = next((row for row, _ in rows if row.id == suppression_id), None)
    if row is None:
        raise NotFound
    if row.reason == "complained":
        raise ComplaintStands(
            "The person at this address called our mail spam.",
            next_action="Only he can lift this, when he is signed in.",
        )
    await repository.lift(session, row.id, clock.now())
