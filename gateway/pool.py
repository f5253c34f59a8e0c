"""Connections to one service, kept and used again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.breaker import Breaker
from gateway.connection import Connection, UpstreamError

MAX_IDLE_SECONDS: Final = 30.0
"""Services close a silent connection after 75 seconds; ours are dropped well before."""
MAX_REQUESTS: Final = 10_000
SWEEP_SECONDS: Final = 0.1
"""How often deadlines are looked at: one timer for all connections is cheaper than one for each wait."""


class ServiceDown(Exception):
    """The service cannot be asked now. `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PoolExhausted(ServiceDown):
    """All connections are in use. Says nothing about the service's health."""

    def __init__(self) -> None:
        super().__init__("all connections are in use")


class Pool:
    """At most `limit` connections over one unix socket, last used first."""

    def __init__(
        self,
        socket: Path,
        *,
        limit: int,
        connect_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = str(socket)
        self._limit = limit
        self._connect_seconds = connect_seconds
        self._monotonic = monotonic
        self._idle: list[Connection] = []
        self._connections: set[Connection] = set()
        self._connecting = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self.breaker = Breaker(monotonic)

    def idle(self) -> Connection | None:
        """The connection that was used last, if it can be used again."""
        oldest = self._monotonic() - MAX_IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and connection.idle_since >= oldest:
                return connection
            self._drop(connection)
        return None

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """An idle connection, or a new one (always with `fresh`: then idle ones are not believed in any more).
        Raises ServiceDown."""
        if fresh:
            self._drop_idle()
        return self.idle() or await self._connect()

    async def _connect(self) -> Connection:
        if self.open_connections >= self._limit:
            raise PoolExhausted
        loop = asyncio.get_running_loop()
        self._connecting += 1
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await loop.create_unix_connection(Connection, self._socket)
        except (OSError, TimeoutError) as error:
            raise ServiceDown(f"no connection: {type(error).__name__}") from error
        finally:
            self._connecting -= 1
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        return connection

    def release(self, connection: Connection) -> None:
        """Gives a connection back after use, or drops it."""
        if connection.finish() and connection.requests < MAX_REQUESTS:
            connection.idle_since = self._monotonic()
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gives up what has been silent for too long, again and again while there is any connection."""
        now = loop.time()
        for connection in list(self._connections):
            if connection.deadline < now:
                connection.expire()
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep, loop) if self._connections else None

    def _drop(self, connection: Connection) -> None:
        connection.abort()
        self._connections.discard(connection)

    def _drop_idle(self) -> None:
        while self._idle:
            self._drop(self._idle.pop())

    @property
    def open_connections(self) -> int:
        return len(self._connections) + self._connecting

    def close(self) -> None:
        """Drops what nobody uses; the others are dropped when they are given back."""
        self._drop_idle()
        if self._sweeper is not None and not self._connections:
            self._sweeper.cancel()
            self._sweeper = None


__all__ = ["Connection", "Pool", "PoolExhausted", "ServiceDown", "UpstreamError"]
