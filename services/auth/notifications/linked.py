"""Mails about a row with a life of its own: address and link come from the row as it is at the moment of sending.

Each function answers None when there is nothing to tell any more. Tokens are made here and nowhere kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.mail_links import MailLinkSigner
from services.auth.models import (
    Account,
    EmailChange,
    Invitation,
    Notification,
    PasswordReset,
    Signup,
    Workspace,
)
from services.auth.notifications.letter import About


@dataclass(frozen=True)
class Sending:
    """What composing a mail takes beside its row."""

    now: datetime
    links: MailLinkSigner
    public_url: str


@dataclass(frozen=True)
class Addressed:
    """`account_id` is None for somebody who has no account with this address, as far as we know."""

    email: str
    about: About
    account_id: str | None = None


async def of_signup(session: AsyncSession, sending: Sending, mail: Notification) -> Addressed | None:
    signup = await session.get(Signup, mail.reference)
    if signup is None or signup.used_at is not None or signup.expires_at <= sending.now:
        return None
    token = sending.links.sign("confirm+jwt", signup.id, expires_at=signup.expires_at)
    link = f"{sending.public_url}/confirm#token={token}"
    return Addressed(signup.email, About(name=signup.name, link=link))


async def of_invitation(session: AsyncSession, sending: Sending, mail: Notification) -> Addressed | None:
    statement = (
        select(Invitation, Workspace.name, Account.name)
        .join(Workspace, Workspace.id == Invitation.workspace_id)
        .outerjoin(Account, Account.id == Invitation.invited_by)
        .where(Invitation.id == mail.reference)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        return None
    row, workspace, inviter = found
    if row.accepted_at or row.revoked_at or row.expires_at <= sending.now:
        return None
    token = sending.links.sign(
        "invite+jwt",
        row.id,
        expires_at=row.expires_at,
        ws=row.workspace_id,
        email=row.email,
        role=row.role,
        n=str(row.sends),
    )
    link = f"{sending.public_url}/invitation#token={token}"
    about = About(workspace=workspace, link=link, data={"inviter": inviter or "", "role": row.role})
    return Addressed(row.email, about)


async def of_password_reset(session: AsyncSession, sending: Sending, mail: Notification) -> Addressed | None:
    """Here, and not when it was asked for, it comes out whether the address has an account."""
    reset = await session.get(PasswordReset, mail.reference)
    if reset is None or reset.used_at is not None or reset.expires_at <= sending.now:
        return None
    account = (
        await session.execute(select(Account).where(Account.email == reset.email))
    ).scalar_one_or_none()
    if account is None:
        return None
    token = sending.links.sign("reset+jwt", reset.id, expires_at=reset.expires_at)
    link = f"{sending.public_url}/reset#token={token}"
    return Addressed(account.email, About(name=account.name, link=link), account.id)


async def of_email_change(session: AsyncSession, sending: Sending, mail: Notification) -> Addressed | None:
    """To the new address. Should it have an account, its owner hears that, and no link is made."""
    change = await session.get(EmailChange, mail.reference)
    if change is None or change.confirmed_at or change.closed_at or change.expires_at <= sending.now:
        return None
    account = await session.get(Account, change.account_id)
    if account is None:
        return None
    taken = (await session.execute(select(Account.id).where(Account.email == change.new_email))).first()
    if taken is not None:
        return Addressed(change.new_email, About(link=sending.public_url, data={"taken": True}), taken[0])
    token = sending.links.sign("email+jwt", change.id, expires_at=change.expires_at)
    link = f"{sending.public_url}/email#token={token}"
    return Addressed(change.new_email, About(name=account.name, link=link, data={"taken": False}))


async def of_email_changed(session: AsyncSession, sending: Sending, mail: Notification) -> Addressed | None:
    """To the old address, with the way back."""
    change = await session.get(EmailChange, mail.reference)
    if change is None or change.closed_at or change.undo_expires_at is None:
        return None
    account = await session.get(Account, change.account_id)
    if account is None or change.undo_expires_at <= sending.now:
        return None
    token = sending.links.sign("undo+jwt", change.id, expires_at=change.undo_expires_at)
    link = f"{sending.public_url}/email-undo#token={token}"
    return Addressed(
        change.old_email, About(name=account.name, link=link, data={"new_email": change.new_email})
    )
