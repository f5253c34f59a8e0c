"""The way of a request to a service and of its answer back, as a stream in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Message, Receive, Send

from gateway.connection import Connection, UpstreamError
from gateway.head import answer_lines
from gateway.pool import Pool, PoolExhausted, ServiceDown
from gateway.rate_limit import Verdict
from gateway.replies import SECURITY_HEADERS, SECURITY_LINES, Headers, public_headers
from gateway.settings import GatewaySettings
from shared.errors import DomainError

RECHECK_SECONDS: Final = 1.0
_REPEATABLE: Final = frozenset({"GET"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_CHUNKED: Final = b"chunked"
BodyMessage = MutableMapping[str, Any]
_NO_BODY: Final[BodyMessage] = {"type": "http.request"}


class BodyTooLarge(DomainError):
    status = 413
    code = "too_large"
    title = "The body is too large"


class ClientGone(Exception):
    """The caller hung up before the answer was complete."""


class Broken(Exception):
    """The answer broke off after it had begun; nothing but hanging up tells the caller."""


@dataclass(slots=True)
class Exchange:
    """One request, ready to be sent on. `headers` are those for the service, as the lines of its request."""

    method: str
    target: bytes
    headers: bytes
    has_body: bool
    content_length: int | None
    request_id: bytes
    cookies: bool
    verdict: Verdict | None
    """What the rate limit said: every answer tells it."""
    whole: Callable[[int, bytes, bytes], bool] | None
    """Sends an answer that is complete (status, header lines, body) in one write; False if that cannot be now."""
    allowed: Callable[[], Awaitable[bool]] | None
    """Of a stream: whether the caller may still have what he is being sent. Asked each second."""
    begun: bool = False
    """Whether anything has been sent to the caller."""

    @property
    def stream(self) -> bool:
        return self.allowed is not None


class Proxy:
    """Forwards to one service."""

    def __init__(self, service: str, pool: Pool, settings: GatewaySettings) -> None:
        self._host = b" HTTP/1.1\r\nhost: " + service.encode() + b"\r\n"
        self._pool = pool
        self._settings = settings

    async def forward(self, exchange: Exchange, receive: Receive, send: Send) -> int:
        """The status sent. Raises ServiceDown before anything was sent, BodyTooLarge, ClientGone, Broken."""
        breaker = self._pool.breaker
        if not breaker.admit():
            raise ServiceDown("the circuit is open")
        settled = False
        try:
            connection = await self._answered(exchange, receive)
            breaker.succeeded()
            settled = True
        except PoolExhausted:
            raise
        except (ServiceDown, UpstreamError, TimeoutError) as error:
            breaker.failed()
            settled = True
            raise ServiceDown(getattr(error, "reason", "no answer in time")) from error
        finally:
            if not settled:
                breaker.abandoned()
        status = connection.status
        body = None if exchange.stream else connection.whole()
        try:
            if body is None:
                await self._answer(connection, exchange, receive, send)
                return status
            headers = connection.headers
        finally:
            # If all of it is at hand the connection is free before the caller has taken a byte.
            self._pool.release(connection)
        exchange.begun = True
        if exchange.whole is not None and exchange.whole(status, _answer_lines(headers, exchange), body):
            return status
        head = _answer_head(status, headers, exchange)
        try:
            await send(head)
            await send({"type": "http.response.body", "body": body, "more_body": False})
        except OSError as error:
            raise ClientGone from error
        return status

    # -- request -------------------------------------------------------------------------------------------

    async def _answered(self, exchange: Exchange, receive: Receive) -> Connection:
        """A connection on which the head of an answer has come.

        An idle connection may have been closed by the service at this very moment. If no byte of an answer came,
        and the request has no body and changes nothing, it is sent once more on a fresh one.
        """
        first = _NO_BODY
        if exchange.has_body:
            first = await receive()
            if first["type"] == "http.disconnect":
                raise ClientGone
        pool = self._pool
        connection = pool.idle() or await pool.acquire()
        while True:
            reused = connection.requests > 0
            try:
                await self._ask(connection, exchange, first, receive)
            except UpstreamError as error:
                pool.release(connection)
                if error.answered or not reused or exchange.has_body or exchange.method not in _REPEATABLE:
                    raise
            except BaseException:
                pool.release(connection)
                raise
            else:
                return connection
            connection = await pool.acquire(fresh=True)

    def _ask(
        self, connection: Connection, exchange: Exchange, first: BodyMessage, receive: Receive
    ) -> Awaitable[None]:
        """Sends the request, and lets wait for the head of the answer."""
        body, more = first.get("body", b""), first.get("more_body", False)
        self._check_size(len(body))
        framing = _framing(exchange, body, more)
        head = self._head(exchange, framing)
        connection.start(head + _chunk(body) if framing == _CHUNKED else head + body, exchange.request_id)
        if more:
            return self._pump(connection, len(body), framing, receive)
        return connection.head(self._settings.first_byte_seconds)

    async def _pump(self, connection: Connection, sent: int, framing: bytes, receive: Receive) -> None:
        """Sends the rest of the body while waiting for the head of an answer, which may come before its end."""
        pump = asyncio.create_task(self._send_body(connection, sent, framing, receive))
        head = asyncio.create_task(connection.head(self._settings.total_seconds))
        try:
            await asyncio.wait({head, pump}, return_when=asyncio.FIRST_COMPLETED)
            if not head.done():
                pump.result()
                connection.wait_at_most(self._settings.first_byte_seconds)
            await head
        finally:
            if not pump.done():
                # An answer before the end of the body: the service has seen enough, the rest is not sent.
                connection.use_no_more()
            for task in (head, pump):
                task.cancel()
            await asyncio.gather(head, pump, return_exceptions=True)

    async def _send_body(self, connection: Connection, sent: int, framing: bytes, receive: Receive) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body, more = message.get("body", b""), message.get("more_body", False)
            sent += len(body)
            self._check_size(sent)
            if body:
                connection.write(_chunk(body) if framing == _CHUNKED else body)
                async with asyncio.timeout(self._settings.idle_seconds):
                    await connection.drain()
        if framing == _CHUNKED:
            connection.write(b"0\r\n\r\n")

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_body_bytes:
            raise BodyTooLarge(f"A body may have {self._settings.max_body_bytes} bytes.")

    def _head(self, exchange: Exchange, framing: bytes) -> bytes:
        head = b"%b %b%b%b" % (exchange.method.encode(), exchange.target, self._host, exchange.headers)
        if framing == _CHUNKED:
            return head + b"transfer-encoding: chunked\r\n\r\n"
        return head + b"content-length: %b\r\n\r\n" % framing if framing else head + b"\r\n"

    # -- answer --------------------------------------------------------------------------------------------

    async def _answer(self, connection: Connection, exchange: Exchange, receive: Receive, send: Send) -> None:
        over = asyncio.create_task(_over(receive, exchange.allowed)) if exchange.allowed else None
        try:
            limit = None if exchange.stream else self._settings.total_seconds
            async with asyncio.timeout(limit):
                exchange.begun = True
                await send(_answer_head(connection.status, connection.headers, exchange))
                if exchange.stream:  # its first piece may be long in coming
                    await send({"type": "http.response.body", "body": b"", "more_body": True})
                await self._copy(connection, exchange, send, over)
        except (UpstreamError, TimeoutError) as error:
            connection.abort()
            raise Broken(getattr(error, "reason", "the answer took too long")) from error
        except OSError as error:
            connection.abort()
            raise ClientGone from error
        finally:
            if over is not None:
                over.cancel()
                await asyncio.gather(over, return_exceptions=True)

    async def _copy(
        self, connection: Connection, exchange: Exchange, send: Send, over: asyncio.Task[None] | None
    ) -> None:
        size, more = 0, True
        while more:
            piece = await self._read(connection, over)
            size += len(piece)
            if not exchange.stream and size > self._settings.max_response_bytes:
                connection.abort()
                raise Broken("the answer is too large")
            more = bool(piece) and not connection.at_end
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    async def _read(self, connection: Connection, over: asyncio.Task[None] | None) -> bytes:
        """The next piece. A stream ends as soon as it is over: by its caller, or by his rights."""
        if over is None:
            return await connection.read(self._settings.idle_seconds)
        reading = asyncio.ensure_future(connection.read(self._settings.idle_seconds))
        try:
            await asyncio.wait({reading, over}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                connection.abort()
                over.result()
                return b""
            return reading.result()
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


def _answer_head(status: int, upstream: Headers, exchange: Exchange) -> Message:
    headers = public_headers(upstream, cookies=exchange.cookies)
    headers += SECURITY_HEADERS
    headers.append((b"x-request-id", exchange.request_id))
    if exchange.verdict is not None:
        headers += exchange.verdict.headers()
    return {"type": "http.response.start", "status": status, "headers": headers}


def _answer_lines(upstream: Headers, exchange: Exchange) -> bytes:
    """The same as lines, but for the length of the body."""
    limits = exchange.verdict.lines() if exchange.verdict is not None else b""
    return b"%b%bx-request-id: %b\r\n%b" % (
        answer_lines(public_headers(upstream, cookies=exchange.cookies, framed=False)),
        SECURITY_LINES, exchange.request_id, limits,
    )  # fmt: skip


async def _over(receive: Receive, allowed: Callable[[], Awaitable[bool]]) -> None:
    """Returns when the caller's rights have ended; raises ClientGone when he has hung up."""
    gone = asyncio.create_task(_disconnected(receive))
    try:
        while await allowed():
            done, _ = await asyncio.wait({gone}, timeout=RECHECK_SECONDS)
            if done:
                raise ClientGone
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _framing(exchange: Exchange, body: bytes, more: bool) -> bytes:
    """The Content-Length to state, `chunked` when it is not known, or nothing for no body."""
    if not more:
        return b"%d" % len(body) if body or exchange.method in _WITH_BODY else b""
    if exchange.content_length is not None:
        return b"%d" % exchange.content_length
    return _CHUNKED


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
