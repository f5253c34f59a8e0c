"""Counting tries at a secret, in a transaction of their own: they stay on record however the request ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from services.auth.sessions import delay, repository
from shared.db.database import Database
from shared.errors import TooManyRequests


async def count(
    database: Database, rules: Mapping[bytes, delay.Rule], now: datetime, refusal: type[TooManyRequests]
) -> int:
    """Counts before the secret is looked at, so that a thousand tries at once are a thousand. Returns the failures
    of the worst key, this try among them; raises `refusal` while one of them has to wait."""
    async with database.transaction() as session:
        rows = await repository.lock_failures(session, list(rules), now)
        wait = max(
            delay.wait_seconds(rules[key], row.failures, row.last_failed_at, now) for key, row in rows.items()
        )
        if wait:
            raise refusal("Wait, then try again.", retry_after=wait, wait_seconds=wait)
        for row in rows.values():
            forgotten = now - row.last_failed_at > delay.FORGET_AFTER
            row.failures = 1 if forgotten else row.failures + 1
            row.last_failed_at = now
        return max(row.failures for row in rows.values())
