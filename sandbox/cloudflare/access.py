"""Who is calling: the bearer token, its status and what it may do with a zone."""

from __future__ import annotations

import datetime as dt
import re

from starlette.requests import Request

from sandbox.cloudflare.books import Books, Document, Token
from sandbox.cloudflare.envelope import (
    AUTHENTICATION,
    INVALID_ACCESS_TOKEN,
    INVALID_HEADERS,
    NO_ROUTE,
    ApiError,
    Detail,
)

_BEARER = re.compile(r"^Bearer ([A-Za-z0-9_-]{20,})$")
_ZONE_ID = re.compile(r"^[0-9a-f]{32}$")


def token_of(request: Request, books: Books) -> Token:
    """The caller's token, active. Raises ApiError."""
    header = request.headers.get("authorization", "")
    match = _BEARER.match(header)
    if match is None:
        raise ApiError(
            400,
            Detail(
                INVALID_HEADERS,
                "Invalid request headers",
                ((6111, "Invalid format for Authorization header"),),
            ),
        )
    token = books.token(match[1])
    if token is None:
        if request.url.path.endswith("/tokens/verify"):
            raise ApiError(401, Detail(1000, "Invalid API Token"))
        raise ApiError(403, Detail(INVALID_ACCESS_TOKEN, "Invalid access token"))
    if status_of(token) != "active" and not request.url.path.endswith("/tokens/verify"):
        raise ApiError(403, Detail(INVALID_ACCESS_TOKEN, "Invalid access token"))
    return token


def status_of(token: Token) -> str:
    """``active``, ``disabled`` or ``expired``."""
    if token.expires_on is not None:
        expires = dt.datetime.fromisoformat(token.expires_on)
        if expires <= dt.datetime.now(dt.UTC):
            return "expired"
    return token.status


def zone_for(books: Books, token: Token, zone_id: str, permission: str) -> Document:
    """The zone, when the token gives `permission` on it; a foreign zone and an unknown one look the same."""
    if not _ZONE_ID.match(zone_id):
        message = f"Could not route to /client/v4/zones/{zone_id}, perhaps your object identifier is invalid?"
        raise ApiError(404, Detail(NO_ROUTE, message))
    zone = books.zone(zone_id)
    if zone is None or not token.may(permission, zone):
        raise ApiError(403, Detail(AUTHENTICATION, "Authentication error"))
    return zone
