"""Counting tries at a secret, in a transaction of their own: they stay on record however the request ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import SignInFailure
from services.auth.sessions import delay, repository
from shared.db.database import Database
from shared.errors import TooManyRequests


async def count(
    database: Database, rules: Mapping[bytes, delay.Rule], now: datetime, refusal: type[TooManyRequests]
) -> int:
    """Counts before the secret is looked at, so that a thousand tries at once are a thousand. Returns the failures
    of the worst key, this try among them; raises `refusal` while one of them has to wait."""
    async with database.transaction() as session:
        return await count_in(session, rules, now, refusal)


async def count_in(
    session: AsyncSession, rules: Mapping[bytes, delay.Rule], now: datetime, refusal: type[TooManyRequests]
) -> int:
    """The same in a transaction that the caller ends at once. Whoever has to wait is told so without a lock: a flood
    of tries at one account does not queue up."""
    _refuse(await repository.failures(session, list(rules)), rules, now, refusal)
    rows = await repository.lock_failures(session, list(rules), now)
    _refuse(rows, rules, now, refusal)
    for row in rows.values():
        forgotten = now - row.last_failed_at > delay.FORGET_AFTER
        row.failures = 1 if forgotten else row.failures + 1
        row.last_failed_at = now
    return max(row.failures for row in rows.values())


def _refuse(
    rows: Mapping[bytes, SignInFailure],
    rules: Mapping[bytes, delay.Rule],
    now: datetime,
    refusal: type[TooManyRequests],
) -> None:
    waits = [
        delay.wait_seconds(rules[key], row.failures, row.last_failed_at, now) for key, row in rows.items()
    ]
    wait = max(waits, default=0)
    if wait:
        raise refusal("Wait, then try again.", retry_after=wait, wait_seconds=wait)
