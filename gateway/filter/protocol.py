"""What a request has to look like before anything else is asked: one spelling, bounded, unambiguous."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_TARGET_BYTES: Final = 2048
MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16 * 1024
_PATH = re.compile(rb"(/[A-Za-z0-9._~-]+)+")
_QUERY = re.compile(rb"[A-Za-z0-9._~%+=&:,/?@!$'()*;-]*")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%(00|0[aAdD])")
_SINGLE = frozenset(
    {
        b"host", b"content-length", b"content-type", b"authorization", b"transfer-encoding", b"idempotency-key",
        b"if-match", b"last-event-id", b"x-sc-csrf", b"origin", b"traceparent", b"stripe-signature",
        b"github-public-key-identifier", b"github-public-key-signature", b"svix-id", b"svix-timestamp",
        b"svix-signature",
    }
)  # fmt: skip
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_METHOD_OVERRIDES = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the request goes no further."""

    status: int
    code: str
    detail: str


CROSS_SITE: Final = Refused(403, "cross_site", "This API does not answer pages of other sites.")
"""For what a page elsewhere made somebody's browser send (W3C Fetch Metadata, resource isolation). There is no use for
that, and what it asks for must not count against the one whose browser it was. Links in mails are the exception."""


def check_target(raw_path: bytes, query: bytes) -> Refused | None:
    """None when the request may go on. Nothing is decoded or repaired here."""
    if len(raw_path) + len(query) > MAX_TARGET_BYTES:
        return Refused(414, "target_too_long", f"Path and query may have {MAX_TARGET_BYTES} bytes.")
    if not _PATH.fullmatch(raw_path) or b"/." in raw_path:
        return Refused(
            400, "bad_path", "Write the path plainly: no dots, escapes, parameters or empty parts."
        )
    if query and (not _QUERY.fullmatch(query) or _BAD_ESCAPE.search(query)):
        return Refused(400, "bad_query", "The query holds characters that have to be percent-encoded.")
    if query:
        names = [part.partition(b"=")[0] for part in query.split(b"&")]
        if len(set(names)) != len(names):
            return Refused(400, "repeated_parameter", "Each query parameter may be given once.")
    return None


def check_headers(headers: Headers) -> Refused | None:
    """The same for what the headers say by themselves."""
    seen: set[bytes] = set()
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if name in _SINGLE:
            if name in seen:
                return Refused(400, "repeated_header", f"{name.decode('latin-1')} may be given once.")
            seen.add(name)
        if name in _METHOD_OVERRIDES:
            return Refused(400, "method_override", "Use the method itself.")
        if name == b"content-encoding" and value.lower() != b"identity":
            return Refused(415, "content_encoding", "Send the body as it is, not compressed.")
    if size > MAX_HEADER_BYTES or len(headers) > MAX_HEADERS:
        return Refused(431, "headers_too_large", "Send fewer and shorter headers.")
    if b"content-length" in seen and b"transfer-encoding" in seen:
        return Refused(400, "ambiguous_length", "Give Content-Length or Transfer-Encoding, not both.")
    return None


def check_length(value: bytes, most: int) -> Refused | None:
    """The same for a Content-Length."""
    if not value.isdigit() or int(value) > most:
        return Refused(413, "too_large", f"A body may have {most} bytes.")
    return None


def traceparent(value: bytes | None) -> bytes | None:
    """The trace that the caller is in (W3C Trace Context), if what he says is well-formed."""
    return value if value is not None and _TRACEPARENT.fullmatch(value) else None


def client_ip(headers: Headers) -> str | None:
    """The address that nginx saw: the last one in X-Forwarded-For, which nginx sets and nobody else can."""
    for name, value in headers:
        if name == b"x-forwarded-for":
            return _address(value.rpartition(b",")[2].strip())
    return None


@lru_cache(maxsize=4096)
def _address(text: bytes) -> str | None:
    try:
        return str(ipaddress.ip_address(text.decode("latin-1")))
    except ValueError:
        return None


FORWARDED: Final = frozenset(
    {
        b"accept", b"accept-language", b"content-type", b"idempotency-key", b"if-match", b"if-none-match",
        b"last-event-id", b"origin", b"sec-fetch-site", b"stripe-signature", b"user-agent", b"x-sc-csrf",
        b"github-public-key-identifier", b"github-public-key-signature", b"svix-id", b"svix-timestamp",
        b"svix-signature",
    }
)  # fmt: skip
"""The only request headers that reach a service. Whatever else a caller invents about himself stops here."""


def forwarded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers to pass on: those above, less any that `Connection` names."""
    kept = [header for header in headers if header[0] in FORWARDED]
    for name, value in headers:
        if name == b"connection":
            named = {token.strip().lower() for token in value.split(b",")}
            kept = [header for header in kept if header[0] not in named]
    return kept


def cookie(headers: Headers, wanted: bytes) -> bytes | None:
    """The value of the one cookie that a route has."""
    for name, value in headers:
        if name != b"cookie":
            continue
        for part in value.split(b";"):
            key, _, content = part.strip().partition(b"=")
            if key == wanted and len(content) <= 512:
                return content
    return None
