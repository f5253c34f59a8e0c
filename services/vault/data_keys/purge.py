"""Drops data keys from an API process's memory: the old ones by time, shredded ones at once."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from services.vault.data_keys.cache import DataKeyCache
from shared.bus.relay import asyncpg_arguments
from shared.observability.logging import get_logger

SWEEP_SECONDS = 5.0

logger = get_logger(__name__)


async def sweep(cache: DataKeyCache, seconds: float = SWEEP_SECONDS) -> None:
    """Wipes what is too old, for ever: a key that nobody asks for goes too."""
    while True:
        cache.sweep()
        await asyncio.sleep(seconds)


async def listen(cache: DataKeyCache, url: str, channel: str) -> None:
    """Purges a scope when the worker has shredded it. Ends with ConnectionError; the caller begins it again.

    While nobody listens a shredding is seen all the same, by the row that is read at each use, and memory
    forgets within five minutes. What might have been missed is made good by emptying the cache at the start.
    """
    connection = await asyncpg.connect(**asyncpg_arguments(url), timeout=10)
    lost = asyncio.Event()

    def heard(_: Any, __: int, ___: str, scope: object) -> None:
        purged = cache.purge(str(scope))
        logger.info("data keys dropped", scope=scope, keys=purged)

    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(channel, heard)
        for scope in cache.scopes():
            cache.purge(scope)
        await lost.wait()
        raise ConnectionError("the database closed the connection")
    finally:
        await connection.close(timeout=2)
