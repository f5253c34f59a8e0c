"""Rows of e-mail changes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, EmailChange


async def account(session: AsyncSession, account_id: str) -> Account | None:
    return await session.get(Account, account_id)


async def asked_since(session: AsyncSession, account_id: str, since: datetime) -> int:
    statement = select(func.count()).where(
        EmailChange.account_id == account_id, EmailChange.created_at > since
    )
    return (await session.execute(statement)).scalar_one()


async def replace(session: AsyncSession, change: EmailChange) -> None:
    """The newest wish of an account is the only one that can be confirmed."""
    await session.execute(
        update(EmailChange)
        .where(
            EmailChange.account_id == change.account_id,
            EmailChange.confirmed_at.is_(None),
            EmailChange.closed_at.is_(None),
        )
        .values(closed_at=change.created_at)
    )
    session.add(change)


async def confirm(
    session: AsyncSession, change_id: str, now: datetime, undo_until: datetime
) -> EmailChange | None:
    """Whoever gets the row has confirmed it: one statement decides between two who try at once."""
    statement = (
        update(EmailChange)
        .where(
            EmailChange.id == change_id,
            EmailChange.confirmed_at.is_(None),
            EmailChange.closed_at.is_(None),
            EmailChange.expires_at > now,
        )
        .values(confirmed_at=now, undo_expires_at=undo_until)
        .returning(EmailChange)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def undoable(session: AsyncSession, change_id: str, now: datetime) -> EmailChange | None:
    statement = select(EmailChange).where(
        EmailChange.id == change_id, EmailChange.closed_at.is_(None), EmailChange.undo_expires_at > now
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def undo(session: AsyncSession, change: EmailChange, now: datetime) -> bool:
    """Closes this change, which one of many callers does, and then all later ones of the account."""
    statement = (
        update(EmailChange)
        .where(
            EmailChange.id == change.id, EmailChange.closed_at.is_(None), EmailChange.undo_expires_at > now
        )
        .values(closed_at=now)
        .returning(EmailChange.id)
    )
    if (await session.execute(statement)).scalar_one_or_none() is None:
        return False
    await session.execute(
        update(EmailChange)
        .where(
            EmailChange.account_id == change.account_id,
            EmailChange.created_at >= change.created_at,
            EmailChange.closed_at.is_(None),
        )
        .values(closed_at=now)
    )
    return True


async def set_email(
    session: AsyncSession, account_id: str, new: str, *, instead_of: str | None = None
) -> bool:
    """False when another account has the new address, or this one no longer has the old."""
    statement = update(Account).where(Account.id == account_id).values(email=new).returning(Account.id)
    if instead_of is not None:
        statement = statement.where(Account.email == instead_of)
    try:
        async with session.begin_nested():
            return (await session.execute(statement)).scalar_one_or_none() is not None
    except IntegrityError:
        return False
