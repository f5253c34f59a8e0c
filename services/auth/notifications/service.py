"""Sends the mails that stand in `notification`. Tokens are made here, at the moment of sending."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Notification
from services.auth.notifications import mails, repository
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
        text=mails.text_of(letter),
        html=mails.html_of(letter),
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
) -> tuple[str, mails.Letter] | None:
    """Address and letter, from what is true now; None when there is nothing to tell any more."""
    now = resources.clock.now()
    if notification.kind == "confirm_address":
        signup = await repository.signup(session, notification.reference)
        if signup is None or signup.used_at is not None or signup.expires_at <= now:
            return None
        token = resources.links.sign("confirm+jwt", signup.id, expires_at=signup.expires_at)
        return signup.email, mails.confirm_address(
            signup.name, f"{resources.public_url}/confirm#token={token}"
        )
    if notification.kind == "invitation":
        found = await repository.invitation(session, notification.reference)
        if found is None or found[0].accepted_at or found[0].revoked_at or found[0].expires_at <= now:
            return None
        row, workspace, inviter = found
        token = resources.links.sign(
            "invite+jwt",
            row.id,
            expires_at=row.expires_at,
            ws=row.workspace_id,
            email=row.email,
            role=row.role,
        )
        link = f"{resources.public_url}/invitation#token={token}"
        return row.email, mails.invitation(workspace.name, inviter, row.role, link)
    return await _compose_for_account(session, resources, notification)


async def _compose_for_account(
    session: AsyncSession, resources: WorkerResources, notification: Notification
) -> tuple[str, mails.Letter] | None:
    account = await repository.account(session, notification.account_id or "")
    if account is None:
        return None
    if notification.kind == "already_registered":
        return account.email, mails.already_registered(account.name, resources.public_url)
    data = notification.data
    workspace = await repository.workspace_name(session, data.get("workspace_id", ""))
    if workspace is None:
        return None
    if notification.kind == "server_ready":
        letter = mails.server_ready(workspace, data["hostname"], data["ipv4"], data["ipv6"])
    elif notification.kind == "subscription_activated":
        letter = mails.subscription_activated(workspace, data["plan"], data["zone"])
    elif notification.kind == "address_listed":
        letter = mails.address_listed(workspace, data["address"], ", ".join(data["lists"]))
    else:
        raise ValueError(f"no mail is written for {notification.kind}")
    return account.email, letter
