"""Rows of second factors and recovery codes. All of them need the account in the transaction's context."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, RecoveryCode, SecondFactor


async def lock_account(session: AsyncSession, account_id: str, *, exclusive: bool = False) -> Account | None:
    """Shared by sign-ins, exclusive for changes of the factor: a sign-in without it either ends before the factor
    is on, and is ended with the other sessions, or sees it."""
    statement = select(Account).where(Account.id == account_id).with_for_update(read=not exclusive)
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()


async def second_factor(session: AsyncSession, account_id: str) -> SecondFactor | None:
    return await session.get(SecondFactor, account_id, populate_existing=True)


async def recovery_code(session: AsyncSession, account_id: str, handle: str) -> RecoveryCode | None:
    return await session.get(RecoveryCode, (account_id, handle))


async def use_step(session: AsyncSession, account_id: str, confirmed_at: datetime, step: int) -> bool:
    """Each step of an authenticator counts once: one statement decides between all who show its code."""
    statement = (
        update(SecondFactor)
        .where(
            SecondFactor.account_id == account_id,
            SecondFactor.confirmed_at == confirmed_at,
            SecondFactor.last_step < step,
        )
        .values(last_step=step)
        .returning(SecondFactor.account_id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def use_recovery_code(
    session: AsyncSession, account_id: str, handle: str, code_hash: str, now: datetime
) -> bool:
    statement = (
        update(RecoveryCode)
        .where(
            RecoveryCode.account_id == account_id,
            RecoveryCode.handle == handle,
            RecoveryCode.code_hash == code_hash,
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=now)
        .returning(RecoveryCode.handle)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None
