"""Sends the mails that stand in `notification`, each once: the provider knows a mail again by its key."""

from __future__ import annotations

from datetime import timedelta

from services.auth.models import Notification
from services.auth.notifications import repository
from services.auth.notifications.composing import Dropped, compose
from services.auth.ports import MailDelayed, MailRefused
from services.auth.wiring import WorkerResources
from shared.clock import Clock
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.observability.logging import get_logger

BATCH = 10
LEASE = timedelta(seconds=60)
"""How long a mail belongs to the worker that took it; a dead worker's mails are sent by another after that."""
KEEP = timedelta(days=90)
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


async def forget_settled(database: Database, clock: Clock) -> int:
    """What was sent or dropped is kept for a while, to answer questions about it."""
    async with database.transaction() as session:
        return await repository.forget_before(session, clock.now() - KEEP)


async def _send_one(resources: WorkerResources, notification: Notification) -> None:
    crashpoint("mail.claimed")
    async with resources.database.transaction() as session:
        mail = await compose(session, resources, notification)
    if isinstance(mail, Dropped):
        _log.info("mail dropped", notification=notification.id, kind=notification.kind, reason=mail.reason)
        await _settle(resources, notification, state="dropped", last_error=mail.reason)
        return
    now = resources.clock.now()
    try:
        provider_id = await resources.mailer.send(mail)
        crashpoint("mail.sent")
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
