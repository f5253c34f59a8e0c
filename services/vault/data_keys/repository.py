"""Rows of data keys."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import DataKey, ShreddedScope


async def active(session: AsyncSession, scope: str) -> DataKey | None:
    return await session.scalar(
        select(DataKey)
        .where(DataKey.scope == scope, DataKey.state == "active")
        .execution_options(populate_existing=True)
    )


async def version(session: AsyncSession, scope: str, number: int) -> DataKey | None:
    """Read anew each time, so that a key shredded a moment ago is seen as such."""
    return await session.scalar(
        select(DataKey)
        .where(DataKey.scope == scope, DataKey.version == number)
        .execution_options(populate_existing=True)
    )


async def latest_version(session: AsyncSession, scope: str) -> int:
    return await session.scalar(select(func.max(DataKey.version)).where(DataKey.scope == scope)) or 0


async def is_shredded(session: AsyncSession, scope: str) -> bool:
    return await session.get(ShreddedScope, scope) is not None


async def retire(session: AsyncSession, scope: str, number: int) -> None:
    """The active version only decrypts from now on."""
    await session.execute(
        update(DataKey)
        .where(DataKey.scope == scope, DataKey.version == number, DataKey.state == "active")
        .values(state="decrypt_only")
        .execution_options(synchronize_session=False)
    )


async def lock(session: AsyncSession, scope: str) -> None:
    """Until the transaction ends: no version is started while the scope is being shredded, nor the reverse."""
    number = int.from_bytes(
        hashlib.sha256(b"sc.vault.scope\0" + scope.encode()).digest()[:8], "big", signed=True
    )
    await session.execute(select(func.pg_advisory_xact_lock(number)))


async def count_encryption(session: AsyncSession, scope: str, number: int) -> bool:
    """Whether the version is still the active one; its row stays locked against a shredding."""
    counted = await session.scalar(
        update(DataKey)
        .where(DataKey.scope == scope, DataKey.version == number, DataKey.state == "active")
        .values(encryptions=DataKey.encryptions + 1)
        .returning(DataKey.version)
        .execution_options(synchronize_session=False)
    )
    return counted is not None


async def shred(session: AsyncSession, scope: str, now: datetime) -> int:
    """Destroys every wrapped key of the scope; how many. None can be made again."""
    await lock(session, scope)
    await session.execute(insert(ShreddedScope).values(scope=scope, at=now).on_conflict_do_nothing())
    destroyed = await session.scalars(
        update(DataKey)
        .where(DataKey.scope == scope, DataKey.state != "shredded")
        .values(state="shredded", wrapped=None, check_value=b"", shredded_at=now)
        .returning(DataKey.version)
        .execution_options(synchronize_session=False)
    )
    return len(destroyed.all())
