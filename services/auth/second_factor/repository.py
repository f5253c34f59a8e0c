"""Rows of second factors and recovery codes. All of them need the account in the transaction's context."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, RecoveryCode, SecondFactor, Session


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


async def put_pending(session: AsyncSession, account_id: str, key_sealed: bytes, now: datetime) -> bool:
    """A key that waits for its first code; one that waited before is forgotten. False when one is on."""
    row = {"key_sealed": key_sealed, "created_at": now, "last_step": 0}
    statement = (
        insert(SecondFactor)
        .values(account_id=account_id, **row)
        .on_conflict_do_update(
            index_elements=["account_id"], set_=row, where=SecondFactor.confirmed_at.is_(None)
        )
        .returning(SecondFactor.account_id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def confirm(
    session: AsyncSession, account_id: str, key_sealed: bytes, step: int, now: datetime
) -> bool:
    """Turns on the key that was looked at, once."""
    statement = (
        update(SecondFactor)
        .where(
            SecondFactor.account_id == account_id,
            SecondFactor.key_sealed == key_sealed,
            SecondFactor.confirmed_at.is_(None),
        )
        .values(confirmed_at=now, last_step=step)
        .returning(SecondFactor.account_id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def replace_recovery_codes(session: AsyncSession, account_id: str, hashes: dict[str, str]) -> None:
    """`hashes` is handle → hash. The old ones are worthless from here on."""
    await session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account_id))
    session.add_all(
        RecoveryCode(account_id=account_id, handle=handle, code_hash=code_hash)
        for handle, code_hash in hashes.items()
    )


async def recovery_codes_left(session: AsyncSession, account_id: str) -> int:
    statement = select(func.count()).where(
        RecoveryCode.account_id == account_id, RecoveryCode.used_at.is_(None)
    )
    return (await session.execute(statement)).scalar_one()


async def forget(session: AsyncSession, account_id: str) -> None:
    for table in (RecoveryCode, SecondFactor):
        await session.execute(delete(table).where(table.account_id == account_id))


async def set_methods(session: AsyncSession, session_id: str, methods: tuple[str, ...]) -> None:
    await session.execute(update(Session).where(Session.id == session_id).values(methods=list(methods)))
