"""Rows of addresses that mail is not sent to, and what became of the mails that were sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from services.auth.models import Account, Invitation, MailSuppression, Member, Notification
from shared.db.kit_tables import inbox
from shared.ids import new_id

CONSUMER = "auth.resend-webhook"


async def is_new(session: AsyncSession, event_id: str) -> bool:
    """Remembers an event of the provider. False when it was known."""
    statement = insert(inbox).values(consumer=CONSUMER, event_id=event_id).on_conflict_do_nothing()
    return (await session.execute(statement.returning(inbox.c.event_id))).first() is not None


async def note_delivery(session: AsyncSession, *, reference: str, provider_id: str, delivery: str) -> None:
    """By our own reference when the event brings it back: it may come before our row knows the provider's id."""
    mail = Notification.id == reference if reference else Notification.provider_id == provider_id
    await session.execute(
        update(Notification)
        .where(mail)
        .values(delivery=delivery)
        .execution_options(synchronize_session=False)
    )


async def suppress(
    session: AsyncSession, email: str, reason: str, detail: str, *, at: datetime, until: datetime | None
) -> None:
    """A complaint outweighs a bounce. An event from before somebody lifted it changes nothing."""
    statement = insert(MailSuppression).values(
        id=new_id("spr"), email=email, reason=reason, detail=detail, since=at, until=until
    )
    new: dict[str, Any] = {name: statement.excluded[name] for name in ("reason", "detail", "since", "until")}
    still = MailSuppression.lifted_at.is_(None)
    outweighed = still & (MailSuppression.reason == "complained") & (statement.excluded.reason == "bounced")
    newer = or_(still, MailSuppression.lifted_at < statement.excluded.since)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[MailSuppression.email], set_={**new, "lifted_at": None}, where=newer & ~outweighed
        )
    )


def _in_force(now: datetime) -> ColumnElement[bool]:
    return MailSuppression.lifted_at.is_(None) & or_(
        MailSuppression.until.is_(None), MailSuppression.until > now
    )


async def in_force(session: AsyncSession, email: str, now: datetime) -> MailSuppression | None:
    statement = select(MailSuppression).where(MailSuppression.email == email, _in_force(now))
    return (await session.execute(statement)).scalar_one_or_none()


async def lift(session: AsyncSession, suppression_id: str, now: datetime) -> None:
    await session.execute(
        update(MailSuppression)
        .where(MailSuppression.id == suppression_id)
        .values(lifted_at=now)
        .execution_options(synchronize_session=False)
    )


async def email_of(session: AsyncSession, account_id: str) -> str | None:
    return (await session.execute(select(Account.email).where(Account.id == account_id))).scalar_one_or_none()


async def in_workspace(
    session: AsyncSession, workspace_id: str, now: datetime
) -> list[tuple[MailSuppression, str]]:
    """Suppressed addresses of members and of open invitations, each with the member's or invitation's id."""
    members = (
        select(MailSuppression, Member.id)
        .join(Account, Account.email == MailSuppression.email)
        .join(Member, Member.account_id == Account.id)
        .where(Member.workspace_id == workspace_id, _in_force(now))
    )
    invited = (
        select(MailSuppression, Invitation.id)
        .join(Invitation, Invitation.email == MailSuppression.email)
        .where(
            Invitation.workspace_id == workspace_id,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
            Invitation.expires_at > now,
            _in_force(now),
        )
    )
    found = [*(await session.execute(members)).all(), *(await session.execute(invited)).all()]
    return sorted(((row[0], row[1]) for row in found), key=lambda item: item[1])
