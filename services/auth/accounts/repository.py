"""Rows of accounts and sign-ups."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, Signup


async def account(session: AsyncSession, account_id: str) -> Account | None:
    return await session.get(Account, account_id)


async def account_by_email(session: AsyncSession, email: str) -> Account | None:
    return (await session.execute(select(Account).where(Account.email == email))).scalar_one_or_none()


async def replace_signup(session: AsyncSession, signup: Signup) -> None:
    """The newest sign-up of an address is the only one that can be confirmed."""
    await session.execute(
        update(Signup)
        .where(Signup.email == signup.email, Signup.used_at.is_(None))
        .values(used_at=signup.created_at)
    )
    session.add(signup)


async def signups_since(session: AsyncSession, email: str, since: datetime) -> int:
    statement = select(func.count()).where(Signup.email == email, Signup.created_at >= since)
    return (await session.execute(statement)).scalar_one()


async def use_signup(session: AsyncSession, signup_id: str, now: datetime) -> Signup | None:
    """Whoever gets the row has used it: one statement decides between two who try at once."""
    statement = (
        update(Signup)
        .where(Signup.id == signup_id, Signup.used_at.is_(None), Signup.expires_at > now)
        .values(used_at=now)
        .returning(Signup)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def add_account(session: AsyncSession, row: dict[str, object]) -> bool:
    """False when the address has got an account in the meantime."""
    statement = (
        insert(Account).values(**row).on_conflict_do_nothing(index_elements=["email"]).returning(Account.id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None
