"""The way of a request to a service and of its answer back, as a stream in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Receive, Send

from gateway.connection import Connection, UpstreamError
from gateway.pool import Pool, ServiceDown
from gateway.replies import Headers, complete, public_headers
from gateway.settings import GatewaySettings
from shared.errors import DomainError

RECHECK_SECONDS: Final = 1.0
_REPEATABLE: Final = frozenset({"GET"})
BodyMessage = MutableMapping[str, Any]


class BodyTooLarge(DomainError):
    status = 413
    code = "too_large"
    title = "The body is too large"


class ClientGone(Exception):
    """The caller hung up before the answer was complete."""


class Broken(Exception):
    """The answer broke off after it had begun; nothing but hanging up tells the caller."""


@dataclass(frozen=True)
class Exchange:
    """One request, ready to be sent on. `headers` are those for the service."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    content_length: int | None
    request_id: str
    stream: bool
    cookies: bool
    extra: Headers
    allowed: Callable[[], bool]
    """Whether the caller may still have what he is being sent: asked each second while a stream goes on."""


class Proxy:
    """Forwards to one service."""

    def __init__(self, service: str, pool: Pool, settings: GatewaySettings) -> None:
        self._service = service.encode()
        self._pool = pool
        self._settings = settings

    async def forward(self, exchange: Exchange, receive: Receive, send: Send) -> int:
        """The status sent. Raises ServiceDown before anything was sent, BodyTooLarge, ClientGone, Broken."""
        if not self._pool.breaker.admit():
            raise ServiceDown("the circuit is open")
        settled = False
        try:
            connection = await self._answered(exchange, receive)
            self._pool.breaker.succeeded()
            settled = True
        except (ServiceDown, UpstreamError, TimeoutError) as error:
            self._pool.breaker.failed()
            settled = True
            reason = getattr(error, "reason", "no answer in time")
            raise ServiceDown(reason) from error
        finally:
            if not settled:
                self._pool.breaker.abandoned()
        try:
            await self._answer(connection, exchange, receive, send)
        finally:
            self._pool.release(connection)
        return connection.status

    # -- request -------------------------------------------------------------------------------------------

    async def _answered(self, exchange: Exchange, receive: Receive) -> Connection:
        """A connection on which the head of an answer has come.

        An idle connection may have been closed by the service at this very moment. If no byte of an answer came,
        and the request has no body and changes nothing, it is sent once more on a fresh one.
        """
        first = await receive()
        if first["type"] == "http.disconnect":
            raise ClientGone
        connection = await self._pool.acquire()
        reused = connection.requests > 0
        try:
            return await self._ask(connection, exchange, first, receive)
        except UpstreamError as error:
            if error.answered or not reused or exchange.method not in _REPEATABLE or first.get("body"):
                raise
        return await self._ask(await self._pool.acquire(fresh=True), exchange, first, receive)

    async def _ask(
        self, connection: Connection, exchange: Exchange, first: BodyMessage, receive: Receive
    ) -> Connection:
        pump: asyncio.Task[None] | None = None
        try:
            body, more = first.get("body", b""), first.get("more_body", False)
            framing = _framing(exchange, body, more)
            self._check_size(len(body))
            connection.start(
                self._head(exchange, framing) + (_chunk(body) if framing == b"chunked" else body)
            )
            if more:
                pump = asyncio.create_task(self._send_body(connection, len(body), framing, receive))
            await self._await_head(connection, pump)
        except BaseException:
            self._pool.release(connection)
            raise
        finally:
            if pump is not None and not pump.done():
                # An answer before the end of the body: the service has seen enough, the rest is not sent.
                pump.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pump
                connection.use_no_more()
        return connection

    async def _await_head(self, connection: Connection, pump: asyncio.Task[None] | None) -> None:
        head = asyncio.ensure_future(connection.head())
        try:
            if pump is not None:
                async with asyncio.timeout(self._settings.total_seconds):
                    done, _ = await asyncio.wait({head, pump}, return_when=asyncio.FIRST_COMPLETED)
                if head not in done:
                    pump.result()
            async with asyncio.timeout(self._settings.first_byte_seconds):
                await head
        finally:
            head.cancel()

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
                connection.write(_chunk(body) if framing == b"chunked" else body)
                async with asyncio.timeout(self._settings.idle_seconds):
                    await connection.drain()
        if framing == b"chunked":
            connection.write(b"0\r\n\r\n")

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_body_bytes:
            raise BodyTooLarge(f"A body may have {self._settings.max_body_bytes} bytes.")

    def _head(self, exchange: Exchange, framing: bytes) -> bytes:
        lines = [exchange.method.encode() + b" " + exchange.target + b" HTTP/1.1", b"host: " + self._service]
        lines += [name + b": " + value for name, value in exchange.headers]
        if framing == b"chunked":
            lines.append(b"transfer-encoding: chunked")
        elif framing:
            lines.append(b"content-length: " + framing)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    # -- answer --------------------------------------------------------------------------------------------

    async def _answer(self, connection: Connection, exchange: Exchange, receive: Receive, send: Send) -> None:
        headers = complete(public_headers(connection.headers, cookies=exchange.cookies), exchange.request_id)
        await send(
            {"type": "http.response.start", "status": connection.status, "headers": headers + exchange.extra}
        )
        over = asyncio.create_task(_over(receive, exchange.allowed)) if exchange.stream else None
        try:
            limit = None if exchange.stream else self._settings.total_seconds
            async with asyncio.timeout(limit):
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
        async with asyncio.timeout(self._settings.idle_seconds):
            if over is None:
                return await connection.read()
            reading = asyncio.ensure_future(connection.read())
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


async def _over(receive: Receive, allowed: Callable[[], bool]) -> None:
    """Returns when the caller's rights have ended; raises ClientGone when he has hung up."""
    gone = asyncio.create_task(_disconnected(receive))
    try:
        while allowed():
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
        return str(len(body)).encode() if body or exchange.method in ("POST", "PUT", "PATCH") else b""
    if exchange.content_length is not None:
        return str(exchange.content_length).encode()
    return b"chunked"


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
