"""One keep-alive HTTP/1.1 connection to a service: asyncio.Protocol and httptools, streaming both ways.

What is read ahead of the reader is bounded (reading pauses), what is written ahead of the service too (`drain`).
A connection is used again only if the answer was complete and nothing came after it. An answer that names another
request's id, or none on a connection that served one before, belongs to somebody else and is refused: a service that
once answered twice would otherwise give every later caller his predecessor's answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, cast

import httptools

HIGH_WATER: Final = 256 * 1024
LOW_WATER: Final = 64 * 1024
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
NEVER: Final = float("inf")
_BODYLESS: Final = frozenset({204, 304})


class UpstreamError(Exception):
    """No usable answer. `answered` says whether any byte of one had come: then nothing may be repeated."""

    def __init__(self, reason: str, *, answered: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answered = answered


class Connection(asyncio.Protocol):
    """Made by the event loop; one request at a time. Whoever holds it calls `expire` when `deadline` has passed."""

    def __init__(self) -> None:
        self.requests = 0
        self.idle_since = 0.0
        self.deadline = NEVER
        """By the loop's clock: until when something has to come from the service. `NEVER` while nobody waits."""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._lost = False
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._waiter: asyncio.Future[None] | None = None
        self._busy = False
        self._spent = False
        self._reset(None)

    def _reset(self, request_id: bytes | None) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._request_id = request_id
        self._header_bytes = 0
        self._head_done = False
        self._complete = False
        self._until_close = False
        self._keep_alive = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._failure: str | None = None
        self._seen = False

    # -- the request side ----------------------------------------------------------------------------------

    def start(self, head: bytes, request_id: bytes | None = None) -> None:
        """Begins a request with its head (and body, if it is at hand). With `request_id` the answer has to echo
        it."""
        self._reset(request_id)
        self._busy = True
        self.requests += 1
        self.write(head)

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._lost:
            self._transport.write(data)

    async def drain(self) -> None:
        """Waits until the service has taken enough of what was written."""
        await self._can_write.wait()

    # -- the answer side -----------------------------------------------------------------------------------

    async def head(self, seconds: float) -> None:
        """Waits for status and headers of the final answer. Raises UpstreamError."""
        while True:
            if self._failure is not None:
                raise UpstreamError(self._failure, answered=self._seen)
            if self._head_done:
                return
            self._waiter = self._loop.create_future()
            self.deadline = self._loop.time() + seconds
            try:
                await self._waiter
            finally:
                self._waiter = None
                self.deadline = NEVER

    async def read(self, seconds: float) -> bytes:
        """The next piece of the body; empty at its end. Raises UpstreamError when it breaks off."""
        while not self._chunks:
            if self._complete:
                return b""
            if self._failure is not None:
                raise UpstreamError(self._failure, answered=True)
            await self._wait(seconds)
        return self._take()

    def whole(self) -> bytes | None:
        """The whole body if all of it has come already, else None."""
        return self._take() if self._complete else None

    def _take(self) -> bytes:
        piece = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and self._transport is not None and not self._lost:
            self._paused = False
            self._transport.resume_reading()
        return piece

    def wait_at_most(self, seconds: float) -> None:
        """Changes how long the one who waits now will wait, from now on."""
        self.deadline = self._loop.time() + seconds

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been received and handed out."""
        return self._complete and not self._chunks

    def use_no_more(self) -> None:
        """After this answer the connection is closed: the request on it was not sent to its end."""
        self._spent = True

    def finish(self) -> bool:
        """Ends the use of this connection; True when it can serve another request."""
        self._busy = False
        usable = (
            self._complete
            and self._keep_alive
            and not self._lost
            and self._failure is None
            and not self._until_close
            and not self._spent
        )
        if not usable:
            self.abort()
        return usable

    @property
    def alive(self) -> bool:
        return not self._lost and self._transport is not None and not self._transport.is_closing()

    def expire(self) -> None:
        """The service was silent for too long."""
        self._fail("no answer in time")

    def abort(self) -> None:
        if self._transport is not None and not self._lost:
            self._transport.abort()
        self._lost = True

    async def _wait(self, seconds: float) -> None:
        self.deadline = self._loop.time() + seconds
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self.deadline = NEVER

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        self.abort()
        self._wake()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._complete:
            self._fail("bytes outside of an answer")
            return
        self._seen = True
        if not self._head_done:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES + HIGH_WATER:
                self._fail("endless headers")
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"not HTTP: {type(error).__name__}")
            return
        if self._failure is not None:
            self._fail(self._failure)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._can_write.set()
        if self._busy and not self._complete:
            if self._until_close and exc is None and self._failure is None:
                self._complete = True
            else:
                self._failure = self._failure or "the connection was closed"
        self._wake()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    # -- httptools -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._failure = self._failure or "a second answer"

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # trailers are not passed on
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._complete:
            return  # of a second answer
        status = self._parser.get_status_code()
        if status < 200:
            self.headers.clear()
            return
        self.status = status
        self._failure = self._failure or self._fault()
        self._head_done = True

    def _fault(self) -> str | None:
        """What is wrong with the head; notes how the body is framed."""
        lengths = codings = 0
        told: bytes | None = None
        for name, value in self.headers:
            if name == b"content-length":
                lengths += 1
            elif name == b"transfer-encoding":
                codings += 1 if value.lower() == b"chunked" else 2
            elif name == b"x-request-id":
                told = value
        self._until_close = not lengths and not codings and self.status not in _BODYLESS
        if lengths + codings > 1:
            return "ambiguous length"
        if len(self.headers) > MAX_HEADERS or (
            self._header_bytes > MAX_HEADER_BYTES
            and sum(len(name) + len(value) for name, value in self.headers) > MAX_HEADER_BYTES
        ):
            return "too many headers"
        if self._request_id is not None and told != self._request_id and (told or self.requests > 1):
            return "the answer to another request"
        return None

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()  # the parser forgets it with the next byte
