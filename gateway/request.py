"""One request on an inbound connection, in ASGI's terms: `receive` for its body, `send` for the answer."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.types import Message

from gateway.head import Head, answer_lines
from shared.observability.logging import get_logger

if TYPE_CHECKING:
    from gateway.inbound import Inbound

_STATUS_LINES: Final = {one.value: b"HTTP/1.1 %d %b\r\n" % (one, one.phrase.encode()) for one in HTTPStatus}
_BODYLESS: Final = frozenset({204, 304})
_CHUNKED: Final = -1
_log = get_logger("inbound")


class Request:
    """Made by `Inbound`; `start` begins to answer it."""

    __slots__ = (
        "_body", "_fresh", "_gone", "_held", "_inbound", "_left", "_more", "_started", "_task", "_waiter", "done",
        "expects", "head", "keep_alive", "method", "path", "query",
    )  # fmt: skip

    def __init__(self, inbound: Inbound, method: str, path: bytes, query: bytes, head: Head) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.head = head
        self.keep_alive = True
        self.expects = False
        """Whether the caller waits for a word before he sends the body."""
        self.done = False
        """Whether the whole answer was sent."""
        self._inbound = inbound
        self._body = b""
        self._more = True
        self._fresh = False
        """Whether there is news for `receive`."""
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None
        self._started = False
        self._held = b""
        """The head of the answer, until the first of its body comes."""
        self._left = 0
        """Bytes of the answer's body still to come, or `_CHUNKED`."""

    def start(self) -> asyncio.Task[None]:
        self._task = self._inbound.loop.create_task(self._run())
        return self._task

    async def _run(self) -> None:
        scope = {
            "type": "http",
            "method": self.method,
            "raw_path": self.path,
            "query_string": self.query,
            "headers": self.head.headers,
            "head": self.head,
            "whole": self.whole,
        }
        inbound = self._inbound
        try:
            await inbound.app(scope, self.receive, self.send)
        except Exception:  # the application answers its own failures; without an answer the connection ends
            _log.exception("an answer failed")
        finally:
            inbound.tasks.discard(self._task)
            if not self._gone:
                inbound.ended(usable=self.done and self.keep_alive)

    # -- from the connection -------------------------------------------------------------------------------

    def feed(self, body: bytes) -> int:
        """How many bytes nobody has asked for."""
        if self.done:
            return 0
        self._body = self._body + body if self._body else body
        self._wake()
        return len(self._body)

    def complete(self) -> None:
        """The body is at its end."""
        self._more = False
        self._wake()

    def lost(self) -> bool:
        """The caller hung up, or what he sends is no HTTP. Whether anything of the answer was sent before."""
        self._gone = True
        self._wake()
        return self._started

    def _wake(self) -> None:
        self._fresh = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- ASGI ----------------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        if self.expects:
            self.expects = False
            self._inbound.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._fresh or self._gone or self.done):
            self._inbound.resume_reading()
            self._waiter = self._inbound.loop.create_future()
            await self._waiter
        if self._gone or self.done:
            return {"type": "http.disconnect"}
        self._fresh = False
        body, self._body = self._body, b""
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """The head waits for the first piece of the body; an empty piece makes it go out alone. Raises RuntimeError
        for an answer that would be read as something else than it is."""
        if self._gone:
            return
        if not self._started:
            self._begin_answer(message["status"], message["headers"])
            return
        inbound = self._inbound
        if not inbound.may_write.is_set():
            await inbound.may_write.wait()
            if self._gone:
                return
        body, more = message.get("body", b""), message.get("more_body", False)
        data, self._held = self._held, b""
        if self.done:
            raise RuntimeError("the answer has ended")
        if self._left == _CHUNKED:
            data += _chunk(body, more)
        elif self.method != "HEAD":
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body is not as long as its head says")
            data += body
        if data:
            inbound.transport.write(data)
        self.done = not more

    def whole(self, status: int, text: bytes, body: bytes) -> bool:
        """Sends a whole answer in one write. `text` are its header lines, but for those that say how the body is
        framed. False, and nothing is sent, when that takes more: see `send`."""
        inbound = self._inbound
        if self.method == "HEAD" or status in _BODYLESS or not inbound.may_write.is_set():
            return False
        self._started = self.done = True
        self.expects = False
        if not self._gone:
            closing = b"" if self.keep_alive else b"connection: close\r\n"
            inbound.transport.write(
                b"%bcontent-length: %d\r\n%b%b\r\n%b" % (_status_line(status), len(body), closing, text, body)
            )
        return True

    def _begin_answer(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """`headers` have names in lower case, and none about the connection or the body's framing but its length."""
        self._started = True
        self.expects = False
        length = dict(headers).get(b"content-length")
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if status in _BODYLESS:
            self._left = 0
        elif length is not None:
            self._left = int(length)
        elif self.method != "HEAD":
            self._left = _CHUNKED
            end = b"transfer-encoding: chunked\r\n" + end
        self._held = _status_line(status) + answer_lines(headers) + end


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def _chunk(body: bytes, more: bool) -> bytes:
    framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return framed if more else framed + b"0\r\n\r\n"
