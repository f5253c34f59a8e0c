"""Answers of the gateway's own: problem documents as every service gives them, and the headers of every answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.responses import Response

from gateway.head import lines
from shared.errors import DomainError
from shared.web.problems import not_found, problem, problem_of

SECURITY_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
SECURITY_LINES: Final = lines(SECURITY_HEADERS)
_OWN_NAMES: Final = frozenset(name for name, _ in SECURITY_HEADERS)
_DROPPED: Final = _OWN_NAMES | {
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
    b"transfer-encoding", b"upgrade", b"server", b"date", b"x-request-id", b"x-sc-identity", b"x-powered-by",
    b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-allow-headers",
    b"access-control-allow-methods", b"access-control-expose-headers",
}  # fmt: skip

_DROPPED_WITH_LENGTH: Final = _DROPPED | {b"content-length"}
_PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close"})
_NO_STORE: Final = (b"cache-control", b"no-store")

Headers = list[tuple[bytes, bytes]]


def public_headers(upstream: Iterable[tuple[bytes, bytes]], *, cookies: bool, framed: bool = True) -> Headers:
    """What of a service's headers reaches the caller; cookies only from auth, the body's length only if `framed`."""
    kept: Headers = []
    dropped = _DROPPED if framed else _DROPPED_WITH_LENGTH
    named: set[bytes] = set()
    has_cache_control = False
    for header in upstream:
        name = header[0]
        if name in dropped:
            if name == b"connection" and header[1] not in _PLAIN_CONNECTION:
                named |= {token.strip().lower() for token in header[1].split(b",")}
        elif cookies or name != b"set-cookie":
            has_cache_control = has_cache_control or name == b"cache-control"
            kept.append(header)
    if named:
        kept = [header for header in kept if header[0] not in named]
        has_cache_control = has_cache_control and b"cache-control" not in named
    if not has_cache_control:
        kept.append(_NO_STORE)
    return kept


def complete(headers: Headers, request_id: str) -> Headers:
    """Adds what every answer carries."""
    return [*headers, *SECURITY_HEADERS, (b"x-request-id", request_id.encode())]


def refusal(error: DomainError, request_id: str) -> Response:
    return problem_of(error, request_id)


def plain_problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    request_id: str,
    *,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    return problem(status, code, title, detail, instance=request_id, headers=headers, **extra)


def nothing_here() -> Response:
    """Unknown route, foreign, unknown or deleted object: the same bytes as from any service."""
    return not_found()
