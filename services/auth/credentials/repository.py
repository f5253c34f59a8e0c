"""Rows of password changes and resets."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, EmailChange, PasswordReset


async def account(session: AsyncSession, account_id: str) -> Account | None:
    return await session.get(Account, account_id)


async def account_by_email(session: AsyncSession, email: str) -> Account | None:
    return (await session.execute(select(Account).where(Account.email == email))).scalar_one_or_none()


async def set_password(
    session: AsyncSession, account_id: str, new: str, now: datetime, *, instead_of: str | None = None
) -> bool:
    """With `instead_of` only while that hash is still there: of two changes at once one is made."""
    statement = (
        update(Account)
        .where(Account.id == account_id)
        .values(password_hash=new, password_changed_at=now)
        .returning(Account.id)
    )
    if instead_of is not None:
        statement = statement.where(Account.password_hash == instead_of)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def reset_asked_since(session: AsyncSession, email: str, since: datetime) -> bool:
    statement = (
        select(PasswordReset.id)
        .where(PasswordReset.email == email, PasswordReset.created_at > since)
        .limit(1)
    )
    return (await session.execute(statement)).first() is not None


async def replace_reset(session: AsyncSession, row: dict[str, object]) -> bool:
    """The newest of an address is the only one that works. False when another has just been made."""
    await session.execute(
        update(PasswordReset)
        .where(PasswordReset.email == row["email"], PasswordReset.used_at.is_(None))
        .values(used_at=row["created_at"])
    )
    statement = (
        insert(PasswordReset)
        .values(**row)
        .on_conflict_do_nothing(index_elements=["email"], index_where=PasswordReset.used_at.is_(None))
        .returning(PasswordReset.id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def open_reset(session: AsyncSession, reset_id: str, now: datetime) -> PasswordReset | None:
    statement = select(PasswordReset).where(
        PasswordReset.id == reset_id, PasswordReset.used_at.is_(None), PasswordReset.expires_at > now
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def use_reset(session: AsyncSession, reset_id: str, now: datetime) -> bool:
    """Whoever gets the row has used it: one statement decides between two who try at once."""
    statement = (
        update(PasswordReset)
        .where(PasswordReset.id == reset_id, PasswordReset.used_at.is_(None), PasswordReset.expires_at > now)
        .values(used_at=now)
        .returning(PasswordReset.id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def close_email_changes(session: AsyncSession, account_id: str, now: datetime) -> None:
    """Those that wait for their confirmation. What is confirmed can still be undone from the old address."""
    await session.execute(
        update(EmailChange)
        .where(
            EmailChange.account_id == account_id,
            EmailChange.closed_at.is_(None),
            EmailChange.confirmed_at.is_(None),
        )
        .values(closed_at=now)
    )
