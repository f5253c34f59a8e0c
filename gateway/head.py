"""A request's headers with all that follows from them alone, and the heads that were read a moment ago.

A client repeats his headers byte for byte, request after request. Such a block of bytes is parsed, checked and prepared
once a minute at most; what depends on time, rights or the path is never remembered here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from gateway.filter import protocol

MAX_KNOWN: Final = 4096
MAX_BLOCK_BYTES: Final = 4096
FORGET_SECONDS: Final = 60.0
"""Blocks hold credentials: they stay no longer than an access token's verification is believed."""
PLAIN_LINE: Final = re.compile(
    rb"GET (/[A-Za-z0-9._~/-]*)(?:\?([A-Za-z0-9._~%+=&:,/?@!$'()*;-]*))? HTTP/1\.1\r\n"
)
"""A request line that can be read in one way only, up to the first header."""
_TEXT: Final = bytes([9, *range(32, 127), *range(128, 256)])
"""What may stand in a header line, besides the line's own end."""

Headers = list[tuple[bytes, bytes]]


class Head:
    """Names are in lower case. Nothing in here is changed after it was made."""

    __slots__ = (
        "bearer", "by_name", "client_ip", "cross_site", "has_body", "headers", "passed", "refused", "traceparent"
    )  # fmt: skip

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.by_name = dict(headers)
        self.bearer = bearer(self.by_name.get(b"authorization"))
        self.cross_site = self.by_name.get(b"sec-fetch-site") == b"cross-site"
        self.traceparent = protocol.traceparent(self.by_name.get(b"traceparent"))
        self.client_ip = protocol.client_ip(headers)
        self.refused = protocol.check_headers(headers)
        self.has_body = b"content-length" in self.by_name or b"transfer-encoding" in self.by_name
        self.passed = lines(protocol.forwarded(headers))
        """For a service, as they stand in its request. A route's cookie comes on top."""


def bearer(authorization: bytes | None) -> bytes | None:
    """The credential of `Authorization: Bearer …` (RFC 6750), else None."""
    if authorization is None or authorization[:7].lower() != b"bearer ":
        return None
    return authorization[7:]


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """As they stand in a message."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def answer_lines(headers: Headers) -> bytes:
    """The same for an answer, whose headers come from elsewhere. Raises RuntimeError for one that has more than its
    line."""
    text = lines(headers)
    if text.translate(None, _TEXT) != b"\r\n" * len(headers):
        raise RuntimeError("a header has more than its line")
    return text


class KnownHeads:
    """Blocks of header lines, each up to and with the empty one, that were read as a whole head lately."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._forgetting = False
        self.find = self._known.get

    def remember(self, message: bytes, head: Head) -> None:
        """`message` was read as one request of that head and without a body. Only if its line is plain the parser
        was in the same state before the first header as it will be for any other plain line."""
        line = PLAIN_LINE.match(message)
        if line is None or len(message) - line.end() > MAX_BLOCK_BYTES:
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[message[line.end() :]] = head
        if not self._forgetting:
            self._forgetting = True
            asyncio.get_running_loop().call_later(FORGET_SECONDS, self._forget)

    def _forget(self) -> None:
        self._forgetting = False
        self._known.clear()
