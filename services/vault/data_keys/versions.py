"""When a data key is replaced, and the one way in which its next version starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.data_keys import repository
from services.vault.errors import WorkspaceShredded
from services.vault.models import DataKey
from services.vault.ports import WrappedKey

MOST_ENCRYPTIONS = 2**20
"""Random 96-bit nonces are good for 2^32 messages under one key (SP 800-38D 8.3); this is far below. Wraps that were
taken over from an older version are counted apart (`rewraps`): a workspace of more secrets than this would
otherwise be rotated for ever."""
OLDEST_ACTIVE = timedelta(days=90)


@dataclass(frozen=True)
class NewKey:
    """A data key as it is stored: wrapped, and its check value."""

    wrapped: WrappedKey
    check_value: bytes


def is_due(row: DataKey, now: datetime) -> bool:
    return row.encryptions >= MOST_ENCRYPTIONS or now - row.created_at >= OLDEST_ACTIVE


async def start(
    session: AsyncSession,
    scope: str,
    *,
    replace: Callable[[DataKey], bool],
    make: Callable[[int], Awaitable[NewKey]],
    now: datetime,
) -> DataKey:
    """The scope's next version, or the active one when `replace` says that it may stay: as it is when another
    transaction started it while this one waited. Raises WorkspaceShredded for a scope that ended."""
    await repository.lock(session, scope)
    if await repository.is_shredded(session, scope):
        raise WorkspaceShredded("Nothing is stored for this workspace any more.")
    present = await repository.active(session, scope)
    if present is not None and not replace(present):
        return present
    if present is not None:
        await repository.retire(session, scope, present.version)
    version = await repository.latest_version(session, scope) + 1
    key = await make(version)
    row = DataKey(
        scope=scope,
        version=version,
        state="active",
        wrapped=key.wrapped.ciphertext,
        root_key_id=key.wrapped.root_key_id,
        check_value=key.check_value,
        encryptions=0,
        rewraps=0,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row
