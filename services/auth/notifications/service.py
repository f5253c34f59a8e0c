"""Sends the mails that stand in `notification`. Tokens are made here, at the moment of sending."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Notification
from services.auth.notifications import repository
from services.auth.notifications.kinds import BY_NAME
from services.auth.notifications.letter import About, Letter, html_of, text_of
from services.auth.notifications.linked import Addressed, Sending
from services.auth.ports import Mail, MailDelayed, MailRefused
from services.auth.wiring import WorkerResources
from shared.observability.logging import get_logger

BATCH = 10
LEASE = timedelta(seconds=60)
"""How long a mail belongs to the worker that took it; a dead worker's mails are sent by another after that."""
TRIES = 12
LONGEST_PAUSE = 600.0

_log = get_logger("notifications")


async def send_due(resources: WorkerResources) -> int:
    """Sends what is due and returns how many were taken up. Each mail is settled on its own."""
    async with resources.database.transaction() as session:
        due = await repository.claim_due(session, resources.clock.now(), limit=BATCH, lease=LEASE)
    for notification in due:
        await _send_one(resources, notification)
    return len(due)


async def _send_one(resources: WorkerResources, notification: Notification) -> None:
    async with resources.database.transaction() as session:
        addressed = await _compose(session, resources, notification)
    if addressed is None:
        await _settle(resources, notification, state="dropped", last_error="what it was about is gone")
        return
    to, letter = addressed
    mail = Mail(
        key=f"{notification.kind}/{notification.id}",
        to=to,
        subject=letter.subject,
        text=text_of(letter),
        html=html_of(letter),
        kind=notification.kind,
    )
    now = resources.clock.now()
    try:
        provider_id = await resources.mailer.send(mail)
    except MailRefused as error:
        _log.error("mail refused", notification=notification.id, kind=notification.kind, reason=error.reason)
        await _settle(resources, notification, state="failed", last_error=error.reason)
    except MailDelayed as error:
        if notification.attempts >= TRIES:
            _log.error("mail given up", notification=notification.id, reason=error.reason)
            await _settle(resources, notification, state="failed", last_error=error.reason)
            return
        pause = error.retry_after or min(2.0 ** (notification.attempts - 1), LONGEST_PAUSE)
        _log.warning("mail delayed", notification=notification.id, reason=error.reason, seconds=pause)
        await _settle(
            resources, notification, next_attempt_at=now + timedelta(seconds=pause), last_error=error.reason
        )
    else:
        _log.info("mail sent", notification=notification.id, kind=notification.kind)
        await _settle(resources, notification, state="sent", sent_at=now, provider_id=provider_id)


async def _settle(resources: WorkerResources, notification: Notification, **values: object) -> None:
    async with resources.database.transaction() as session:
        await repository.settle(session, notification.id, **values)


async def _compose(
    session: AsyncSession, resources: WorkerResources, notification: Notification
) -> tuple[str, Letter] | None:
    """Address and letter, from what is true now; None when there is nothing to tell any more."""
    kind = BY_NAME[notification.kind]
    if kind.row is not None:
        sending = Sending(resources.clock.now(), resources.links, resources.public_url)
        addressed = await kind.row(session, sending, notification)
    else:
        addressed = await _to_account(session, resources, notification)
    return None if addressed is None else (addressed.email, kind.letter(addressed.about))


async def _to_account(
    session: AsyncSession, resources: WorkerResources, notification: Notification
) -> Addressed | None:
    account = await repository.account(session, notification.account_id or "")
    if account is None:
        return None
    workspace = None
    if "workspace_id" in notification.data:
        workspace = await repository.workspace_name(session, notification.data["workspace_id"])
        if workspace is None:
            return None
    about = About(
        name=account.name, workspace=workspace or "", link=resources.public_url, data=notification.data
    )
    return Addressed(account.email, about)
