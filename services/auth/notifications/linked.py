"""Mails about a row with a life of its own: address and link come from the row as it is at the moment of sending.

Each function answers None when there is nothing to tell any more. Tokens are made here and nowhere kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.mail_links import MailLinkSigner
from services.auth.models import Account, Invitation, Notification, PasswordReset, Signup, Workspace
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
