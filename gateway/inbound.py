"""A connection from the web server in front: bytes to requests, for uvicorn's server in place of its own protocol.

What the gateway needs of HTTP/1.1 and no more: keep-alive, pipelining, bodies with back-pressure, 100-continue. One
timer a connection instead of one a request, and heads that repeat are not parsed again (`head.py`). The parser is
the same as uvicorn's (llhttp by httptools), without its leniencies: what it refuses ends the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, cast

import httptools
import uvicorn
from uvicorn.server import ServerState

from gateway.head import PLAIN_LINE, Head, KnownHeads, lines
from gateway.replies import complete, plain_problem
from gateway.request import Request
from gateway.trail import new_request_id
from shared.observability.logging import get_logger

HIGH_WATER: Final = 64 * 1024
"""Of a body that nobody has asked for yet: reading pauses."""
MAX_WAITING: Final = 32
"""Requests on one connection behind the one that is being answered."""
_log = get_logger("inbound")


class Inbound(asyncio.Protocol):
    """Made by uvicorn's server, which also calls `shutdown`."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.app = config.loaded_app
        self.known: KnownHeads = self.app.known_heads
        self.connections = server_state.connections
        self.tasks = server_state.tasks
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._keep_alive_seconds = config.timeout_keep_alive
        self._parser = httptools.HttpRequestParser(self)
        self._answering: Request | None = None
        self._waiting: deque[Request] = deque()
        self._arriving: Request | None = None
        """Whose body is not complete."""
        self._between = True
        """Whether the parser has seen the end of a request, and nothing of the next."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._refused = False
        self._paused = False
        self._last = self.loop.time()
        self._timer = self.loop.call_later(self._keep_alive_seconds, self._close_when_silent)

    # -- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.connections.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        self._timer.cancel()
        self._waiting.clear()
        if self._answering is not None:
            self._answering.lost()
        self.may_write.set()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._between or self._answering is not None:
            self._parse(data)
            return
        line = PLAIN_LINE.match(data)
        head = None if line is None else self.known.find(data[line.end() :])
        if line is None or head is None:
            request = self._parse(data)
            if request is not None and request.keep_alive and not request.head.has_body:
                self.known.remember(data, request.head)
            return
        path, query = line.groups(b"")
        self._begin(Request(self, "GET", path, query, head)).complete()

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    # -- what uvicorn and requests call ----------------------------------------------------------------------

    def shutdown(self) -> None:
        """No more requests; the one that is being answered is the last."""
        if self._answering is None:
            self.transport.close()
        else:
            self._answering.keep_alive = False

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def ended(self, *, usable: bool) -> None:
        """The answer is out, or there will be none."""
        self._answering = None
        self._last = self.loop.time()
        if not usable:
            self.transport.close()
        elif self._waiting:
            self._answer(self._waiting.popleft())
        elif self._refused:
            self._say_refused()
        elif self._paused:
            self.resume_reading()

    # -- requests ------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> Request | None:
        """The request that began and ended with these bytes, if they were just that."""
        before, was_between = self._arriving, self._between
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Asked and not granted: the request is answered as any other, and what follows is not looked at.
            self._refused = True
            if self._arriving is not None:
                self._arriving.keep_alive = False
            return None
        except httptools.HttpParserError:
            self._refuse()
            return None
        if self._paused or self._waiting or not was_between or not self._between:
            return None
        return self._arriving if self._arriving is not before else None

    def _refuse(self) -> None:
        """Bytes that are no HTTP. Requests that were complete before them are answered first."""
        self._refused = True
        broken = None if self._between else self._arriving
        if broken is not None and broken is not self._answering:
            self._waiting.pop()
        elif broken is not None and broken.lost():
            self.transport.close()
        elif broken is not None or self._answering is None:
            self._say_refused()

    def _say_refused(self) -> None:
        _log.warning("not HTTP")
        request_id = new_request_id()
        answer = plain_problem(400, "bad_request", "This is not HTTP/1.1", "It cannot be read.", request_id)
        headers = complete([*answer.raw_headers, (b"connection", b"close")], request_id)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + lines(headers) + b"\r\n" + bytes(answer.body))
        self.transport.close()

    def _begin(self, request: Request) -> Request:
        if self._answering is None:
            self._answer(request)
        else:
            self._waiting.append(request)
            self._pause()
            if len(self._waiting) > MAX_WAITING:
                self.transport.abort()
        return request

    def _answer(self, request: Request) -> None:
        self._answering = request
        self.tasks.add(request.start())

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _close_when_silent(self) -> None:
        """Also closes a connection on which a head never gets to its end."""
        left = self._keep_alive_seconds
        if self._answering is None:
            left = self._last + self._keep_alive_seconds - self.loop.time()  # type: ignore[assignment]
        if left <= 0:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(left, self._close_when_silent)

    # -- httptools -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._between = False
        self._arriving = None
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        url = httptools.parse_url(self._url)
        if url.path is None:  # of CONNECT, or `*`
            raise httptools.HttpParserError("no path")
        request = Request(
            self, parser.get_method().decode("ascii"), url.path, url.query or b"", Head(self._headers)
        )
        request.keep_alive = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        request.expects = request.head.by_name.get(b"expect", b"").lower() == b"100-continue"
        self._arriving = self._begin(request)

    def on_body(self, body: bytes) -> None:
        if self._arriving is not None and self._arriving.feed(body) > HIGH_WATER:
            self._pause()

    def on_message_complete(self) -> None:
        self._between = True
        if self._arriving is not None:
            self._arriving.complete()
