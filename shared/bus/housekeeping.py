"""Removes what the kit's tables no longer need, in small steps, once an hour in every worker.

Published events stay a week (to look at), those that no queue has taken until one does; inbox rows a month (longer
than anything is redriven), idempotency keys a day. Audit rows are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import text

from shared.db.database import Database

PERIOD_SECONDS = 3600.0
BATCH = 1000
KEEP: dict[str, tuple[str, timedelta]] = {
    "outbox": ("case when not headers ? 'unroutable' then published_at end", timedelta(days=7)),
    "inbox": ("processed_at", timedelta(days=30)),
    "idempotency_key": ("created_at", timedelta(days=1)),
}


async def sweep(database: Database, keep: Mapping[str, tuple[str, timedelta]] = KEEP) -> dict[str, int]:
    """Rows removed per table. `database` has the worker's role; each step is a transaction of its own. A service has
    tables of its own in `keep`: table → (moment as SQL, age)."""
    removed = dict.fromkeys(keep, 0)
    for table, (column, age) in keep.items():
        while True:
            async with database.transaction() as session:
                result = await session.execute(
                    text(
                        f"delete from {table} where ctid = any(array("  # noqa: S608 (names are constants of ours)
                        f"select ctid from {table} where {column} < now() - cast(:age as interval) limit :batch))"
                    ),
                    {"age": age, "batch": BATCH},
                )
            count: int = result.rowcount  # type: ignore[attr-defined]
            removed[table] += count
            if count < BATCH:
                break
    return removed
