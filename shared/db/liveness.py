"""Whether a connection of the pool is still one, before somebody works with it.

The library's own ping at each checkout goes to the database three times, which is as much as many a request does
itself. A connection that the server has closed is known without asking; only one that has rested may have died unseen.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine

RESTED = 5.0
"""Seconds in the pool after which a connection is asked before it is used."""

_SINCE = "sc.in_pool_since"


def watch(engine: AsyncEngine) -> None:
    """From now on a dead connection is replaced when it is taken, with all that are older."""
    pool, dialect = engine.sync_engine, engine.dialect

    def returned(_connection: Any, record: Any) -> None:
        record.info[_SINCE] = time.monotonic()

    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get(_SINCE)
        if since is None:  # made a moment ago
            return
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        if time.monotonic() - since >= RESTED:
            try:
                dialect.do_ping(connection)
            except dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error

    event.listen(pool, "checkin", returned)
    event.listen(pool, "checkout", taken)
