"""Statements of a rotation. Each change is a compare-and-set: what somebody else changed meanwhile stays theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.data_keys.versions import MOST_ENCRYPTIONS, OLDEST_ACTIVE
from services.vault.models import DataKey, Secret

# Locked rows are left for the next turn: a rotation waits for nobody, so it is part of no deadlock.
_MOVE = text("""
    with mine as (
        select s.id, w.nonce, w.ciphertext
        from unnest(cast(:ids as text[]), cast(:seen as bytea[]), cast(:nonces as bytea[]),
                    cast(:ciphertexts as bytea[])) as w (id, seen, nonce, ciphertext)
        join secret s on s.id = w.id
        where s.workspace_id = :scope and s.data_key_version = :old and s.wrap_nonce = w.seen
        for update of s skip locked
    )
    update secret set data_key_version = :new, wrap_nonce = mine.nonce, ciphertext = mine.ciphertext
    from mine
    where secret.id = mine.id and secret.data_key_version = :old
      and exists (select from data_key where scope = :scope and version = :new and state = 'active')
    returning secret.id
""")


@dataclass(frozen=True)
class Move:
    """A secret's row as it was seen, by its wrap nonce, and as it is to be."""

    secret_id: str
    seen_nonce: bytes
    nonce: bytes
    ciphertext: bytes


async def due_scopes(session: AsyncSession, now: datetime) -> Sequence[str]:
    """Whose active key is due, though nobody may write under it for long."""
    found = await session.scalars(
        select(DataKey.scope)
        .where(
            DataKey.state == "active",
            or_(DataKey.encryptions >= MOST_ENCRYPTIONS, DataKey.created_at <= now - OLDEST_ACTIVE),
        )
        .order_by(DataKey.scope)
    )
    return found.all()


async def old_versions(session: AsyncSession, scope: str | None) -> Sequence[DataKey]:
    """Keys that only decrypt, of one scope or of all."""
    query = select(DataKey).where(DataKey.state == "decrypt_only").order_by(DataKey.scope, DataKey.version)
    if scope is not None:
        query = query.where(DataKey.scope == scope)
    return (await session.scalars(query)).all()


async def batch(session: AsyncSession, scope: str, version: int, after: bytes, most: int) -> Sequence[Secret]:
    """The next secrets under the version, in the order of their nonces: an order that the unique index has."""
    found = await session.scalars(
        select(Secret)
        .where(Secret.workspace_id == scope, Secret.data_key_version == version, Secret.wrap_nonce > after)
        .order_by(Secret.wrap_nonce)
        .limit(most)
    )
    return found.all()


async def reserve(session: AsyncSession, scope: str, version: int, wraps: int) -> bool:
    """Counts the wraps that are about to be made; False when the version is not the active one any more."""
    counted = await session.scalar(
        update(DataKey)
        .where(DataKey.scope == scope, DataKey.version == version, DataKey.state == "active")
        .values(rewraps=DataKey.rewraps + wraps)
        .returning(DataKey.version)
        .execution_options(synchronize_session=False)
    )
    return counted is not None


async def move(session: AsyncSession, scope: str, old: int, new: int, moves: Sequence[Move]) -> int:
    """Writes those rows that are as they were seen; how many."""
    moved = await session.execute(
        _MOVE,
        {
            "scope": scope,
            "old": old,
            "new": new,
            "ids": [one.secret_id for one in moves],
            "seen": [one.seen_nonce for one in moves],
            "nonces": [one.nonce for one in moves],
            "ciphertexts": [one.ciphertext for one in moves],
        },
    )
    return len(moved.all())


async def is_used(session: AsyncSession, scope: str, version: int) -> bool:
    found = await session.scalar(
        select(Secret.id).where(Secret.workspace_id == scope, Secret.data_key_version == version).limit(1)
    )
    return found is not None


async def mark_unused(session: AsyncSession, scope: str, version: int, since: datetime | None) -> None:
    await session.execute(
        update(DataKey)
        .where(DataKey.scope == scope, DataKey.version == version, DataKey.state == "decrypt_only")
        .values(unused_since=since)
        .execution_options(synchronize_session=False)
    )


async def destroy(session: AsyncSession, scope: str, version: int, unused_before: datetime) -> bool:
    """Destroys the wrapped key of a version that nothing has used for long; whether it was one."""
    secrets = select(Secret.id).where(
        Secret.workspace_id == DataKey.scope, Secret.data_key_version == DataKey.version
    )
    gone = await session.scalar(
        update(DataKey)
        .where(
            DataKey.scope == scope,
            DataKey.version == version,
            DataKey.state == "decrypt_only",
            DataKey.unused_since <= unused_before,
            ~secrets.exists(),
        )
        .values(state="retired", wrapped=None, check_value=b"")
        .returning(DataKey.version)
        .execution_options(synchronize_session=False)
    )
    return gone is not None


async def under_other_root_keys(
    session: AsyncSession, primary: str, scope: str | None, after: tuple[str, int], most: int
) -> Sequence[DataKey]:
    """Data keys, of one scope or of all, that hang on another root key than the primary; ordered by name."""
    query = (
        select(DataKey)
        .where(
            DataKey.wrapped.is_not(None),
            DataKey.root_key_id != primary,
            tuple_(DataKey.scope, DataKey.version) > tuple_(*after),
        )
        .order_by(DataKey.scope, DataKey.version)
        .limit(most)
    )
    if scope is not None:
        query = query.where(DataKey.scope == scope)
    return (await session.scalars(query)).all()


async def rehang(session: AsyncSession, seen: DataKey, root_key_id: str, wrapped: bytes) -> bool:
    """Replaces the wrapped key, if it is as it was seen: not shredded, retired or rewrapped by another."""
    changed = await session.scalar(
        update(DataKey)
        .where(
            DataKey.scope == seen.scope,
            DataKey.version == seen.version,
            DataKey.root_key_id == seen.root_key_id,
            DataKey.wrapped == seen.wrapped,
        )
        .values(root_key_id=root_key_id, wrapped=wrapped)
        .returning(DataKey.version)
        .execution_options(synchronize_session=False)
    )
    return changed is not None


async def by_root_key(session: AsyncSession) -> dict[str, int]:
    """How many data keys hang on each root key."""
    found = await session.execute(
        select(DataKey.root_key_id, func.count())
        .where(DataKey.wrapped.is_not(None))
        .group_by(DataKey.root_key_id)
    )
    return {row[0]: row[1] for row in found}
