"""Who asks: access tokens, verified strictly and remembered briefly; API keys, introspected at auth."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any, Final

from prometheus_client import Gauge

from gateway.authority import Authority
from gateway.authorize import Principal
from shared.errors import Unavailable
from shared.identity import StrictVerifier, TokenRejected
from shared.observability.logging import get_logger

AUDIENCE: Final = "sendchief-api"
FORM: Final = 1
"""The claim `ver` of the access tokens that are understood here."""
TOKEN_CACHE_SECONDS: Final = 60
KEY_CACHE_SECONDS: Final = 30.0
MAX_CACHED: Final = 50_000
REFETCH_SECONDS: Final = 5.0
KEYS = Gauge("sc_gateway_access_key", "1 for each key whose access tokens are accepted here", ["kid"])
_KEY_FORM = re.compile(rb"sc_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}")
_ID = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")
_log = get_logger("authenticate")

FetchKeys = Callable[[], Awaitable[Mapping[str, bytes]]]
Introspect = Callable[[dict[str, Any]], Awaitable[Any]]


class AccessTokens:
    """Verifies access tokens against auth's published keys, which are fetched again when an unknown one appears."""

    def __init__(
        self, issuer: str, fetch: FetchKeys, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._monotonic = monotonic
        self._verifier = StrictVerifier({}, issuer, AUDIENCE, "at+jwt", strings=("sub", "sid", "jti"))
        self._keys: dict[str, bytes] = {}
        self._fetched_at = float("-inf")
        self._lock = asyncio.Lock()
        self._cache: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    @property
    def ready(self) -> bool:
        return self._fetched_at > float("-inf")

    async def refresh(self) -> None:
        """Fetches the keys. Tokens of a key that is gone are not believed any more."""
        keys = await self._fetch()
        self._fetched_at = self._monotonic()
        if keys == self._keys:
            return
        self._verifier = StrictVerifier(keys, self._issuer, AUDIENCE, "at+jwt", strings=("sub", "sid", "jti"))
        self._cache.clear()
        for kid in self._keys.keys() | keys.keys():
            KEYS.labels(kid).set(kid in keys)
        self._keys = dict(keys)

    def remembered(self, token: bytes) -> Principal | None:
        """The person, if this very token was verified less than a minute ago and still holds."""
        known = self._cache.get(token)
        if known is None:
            return None
        if known[0] > time.time():
            return known[1]
        del self._cache[token]
        return None

    async def principal(self, token: bytes) -> Principal | None:
        """The person, or None when the token is not valid now. Raises Unavailable while there are no keys."""
        known = self.remembered(token)
        if known is not None:
            return known
        text = token.decode("latin-1")
        if not self._verifier.knows(text):
            await self._refetch()
        try:
            claims = self._verifier.verify(text)
        except TokenRejected as error:
            _log.info("access token refused", reason=error.reason)
            return None
        principal = _person(claims)
        if principal is not None:
            self._remember(token, principal)
        return principal

    async def _refetch(self) -> None:
        async with self._lock:
            if self._monotonic() - self._fetched_at < REFETCH_SECONDS:
                return
            try:
                await self.refresh()
            except Exception as error:  # logged; without any keys the caller is told to come back
                _log.warning("no keys from auth", kind=type(error).__name__)
                if not self.ready:
                    raise Unavailable("Sign-ins cannot be checked at the moment.", retry_after=2) from error

    def _remember(self, token: bytes, principal: Principal) -> None:
        self._cache[token] = (min(principal.expires_at, time.time() + TOKEN_CACHE_SECONDS), principal)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)


def _person(claims: Mapping[str, Any]) -> Principal | None:
    account_id, session_id, signed_in = claims["sub"], claims["sid"], claims.get("auth_time")
    form = claims.get("ver")
    if type(form) is not int or form != FORM:
        return None
    if not _ID.fullmatch(account_id) or not _ID.fullmatch(session_id) or type(signed_in) is not int:
        return None
    return Principal(
        "user",
        account_id,
        expires_at=claims["exp"],
        session_id=session_id,
        authenticated_at=signed_in,
    )


class ApiKeys:
    """Asks auth whose key it is, and believes the answer for half a minute unless a revocation is heard before."""

    def __init__(
        self, authority: Authority, introspect: Introspect, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._authority = authority
        self._introspect = introspect
        self._monotonic = monotonic
        self._generation = authority.generation
        self._cache: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def principal(self, key: bytes) -> Principal | None:
        """Raises Unavailable when auth does not answer."""
        if not _KEY_FORM.fullmatch(key):
            return None
        if self._generation != self._authority.generation or not self._authority.fresh:
            self._cache.clear()
            self._generation = self._authority.generation
        digest = hashlib.sha256(key).digest()
        known = self._cache.get(digest)
        now = self._monotonic()
        if known is not None and known[0] > now and known[1].expires_at > time.time():
            return known[1]
        question = {"kind": "api_key", "key": key.decode()}
        principal = _partner(await self._authority.settled(lambda: self._introspect(question)))
        if principal is not None and self._authority.fresh:
            self._cache[digest] = (now + KEY_CACHE_SECONDS, principal)
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        return principal


def _partner(answer: Mapping[str, Any]) -> Principal | None:
    if answer.get("active") is not True:
        return None
    return Principal(
        "api_key",
        str(answer["account_id"]),
        expires_at=int(datetime.fromisoformat(answer["expires_at"]).timestamp()),
        key_id=str(answer["key_id"]),
        workspace_id=str(answer["workspace_id"]),
        scopes=frozenset(map(str, answer["scopes"])),
        networks=tuple(map(ip_network, answer.get("allowed_networks", ()))),
        maker_role=str(answer["role"]),
    )


def is_api_key(credential: bytes) -> bool:
    return credential.startswith(b"sc_live_")
