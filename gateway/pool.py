"""Connections to one service, kept and used again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from gateway.breaker import Breaker
from gateway.connection import Connection, UpstreamError

MAX_IDLE_SECONDS = 30.0
"""Services close a silent connection after 75 seconds; ours are dropped well before."""
MAX_REQUESTS = 10_000


class ServiceDown(Exception):
    """The service cannot be asked now. `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
        self._open = 0
        self.breaker = Breaker(monotonic)

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """An idle connection, or a new one (always with `fresh`). Raises ServiceDown."""
        oldest = self._monotonic() - MAX_IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if fresh or not connection.alive or connection.idle_since < oldest:
                self._drop(connection)
                continue
            return connection
        if self._open >= self._limit:
            raise ServiceDown("all connections are in use")
        self._open += 1
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await asyncio.get_running_loop().create_unix_connection(
                    Connection, self._socket
                )
        except (OSError, TimeoutError) as error:
            self._open -= 1
            raise ServiceDown(f"no connection: {type(error).__name__}") from error
        except BaseException:
            self._open -= 1
            raise
        return connection

    def release(self, connection: Connection) -> None:
        """Gives a connection back after `finish`, or drops it."""
        if connection.finish() and connection.requests < MAX_REQUESTS:
            connection.idle_since = self._monotonic()
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.abort()
        self._open -= 1

    @property
    def open_connections(self) -> int:
        return self._open

    def close(self) -> None:
        for connection in self._idle:
            self._drop(connection)
        self._idle.clear()


__all__ = ["Connection", "Pool", "ServiceDown", "UpstreamError"]
