"""What both kinds of work have in common: claim what is due, a task for each pass, at most so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from services.dns.leases import claim_namesets, claim_zones
from services.dns.models import Nameset, Zone
from shared.clock import Clock
from shared.db.database import Database
from shared.observability.logging import get_logger

Row = TypeVar("Row")
_log = get_logger("due")


class DueWork(Generic[Row]):
    """`take(limit)` claims rows, `work(row)` is one pass. A pass that fails is logged; its lease runs out and the
    row is taken again."""

    def __init__(
        self,
        name: str,
        take: Callable[[int], Awaitable[Sequence[Row]]],
        work: Callable[[Row], Awaitable[None]],
        *,
        parallel: int = 16,
    ) -> None:
        self._name, self._take, self._work, self._parallel = name, take, work, parallel
        self._running: set[asyncio.Task[None]] = set()

    async def turn(self) -> None:
        """Starts a pass over each row that is due, as far as there is room, and returns at once."""
        free = self._parallel - len(self._running)
        for row in await self._take(free) if free > 0 else ():
            task = asyncio.create_task(self._one(row))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def aclose(self, seconds: float = 3.0) -> None:
        """Lets passes that are at work finish for a while, then cancels them; nothing is lost by that."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def drain(self) -> int:
        """One turn: everything that is due now, to its end. Returns how many passes that were."""
        rows = await self._take(self._parallel)
        await asyncio.gather(*(self._one(row) for row in rows))
        return len(rows)

    async def _one(self, row: Row) -> None:
        try:
            await self._work(row)
        except Exception as error:  # logged; the lease bounds how soon it is tried again
            _log.error("pass failed", work=self._name, exc_info=error)


def due_namesets(
    database: Database,
    clock: Clock,
    lease: timedelta,
    work: Callable[[Nameset], Awaitable[None]],
) -> DueWork[Nameset]:
    async def take(limit: int) -> Sequence[Nameset]:
        async with database.transaction() as session:
            return await claim_namesets(session, clock.now(), lease, limit)

    return DueWork("nameset", take, work)


def due_zones(
    database: Database, clock: Clock, lease: timedelta, work: Callable[[Zone], Awaitable[None]]
) -> DueWork[Zone]:
    async def take(limit: int) -> Sequence[Zone]:
        async with database.transaction() as session:
            return await claim_zones(session, clock.now(), lease, limit)

    return DueWork("zone", take, work)
