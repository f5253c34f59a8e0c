"""Reading a whole JSON body before it goes on: bounded in size, in time, and in sum."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Message, Receive

from gateway.proxy import BodyTooLarge, ClientGone
from shared.errors import DomainError, Unavailable


class BodyTooSlow(DomainError):
    status = 408
    code = "timeout"
    title = "The body did not come in time"


class BodyReader:
    """Reads bodies of at most `limit` bytes, each within `seconds`; all that are held at once have at most `budget`."""

    def __init__(self, limit: int, seconds: float, budget: int) -> None:
        self._limit = limit
        self._seconds = seconds
        self._budget = budget
        self._held = 0

    async def read(self, receive: Receive, limit: int | None = None) -> bytes:
        """Raises BodyTooLarge, BodyTooSlow, ClientGone, Unavailable."""
        most = self._limit if limit is None else limit
        try:
            async with asyncio.timeout(self._seconds):
                first = await _next(receive)
                piece: bytes = first.get("body", b"")
                _refuse_more(len(piece), most)
                return await self._rest(piece, receive, most) if first.get("more_body") else piece
        except TimeoutError:
            raise BodyTooSlow(f"A body has {self._seconds:.0f} seconds to arrive.") from None

    async def _rest(self, first: bytes, receive: Receive, most: int) -> bytes:
        body = bytearray(first)
        with self._hold() as grow:
            more = True
            while more:
                message = await _next(receive)
                piece, more = message.get("body", b""), message.get("more_body", False)
                grow(len(piece))
                body += piece
                _refuse_more(len(body), most)
        return bytes(body)

    @contextmanager
    def _hold(self) -> Iterator[Any]:
        """Counts what is being gathered, so that many slow callers cannot fill the memory."""
        held = 0

        def grow(size: int) -> None:
            nonlocal held
            held += size
            self._held += size
            if self._held > self._budget:
                raise Unavailable("Too many bodies arrive at once.", retry_after=2)

        try:
            yield grow
        finally:
            self._held -= held


def replay(body: bytes, receive: Receive) -> Receive:
    """`receive` as it would have been had the body come in one piece."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


def _refuse_more(size: int, most: int) -> None:
    if size > most:
        raise BodyTooLarge(f"A body may have {most} bytes here.")
