"""Internal tokens: what the gateway says about a caller to one service, and what a service says about itself.

`typ` is `svc+jwt`, `aud` the one service that may accept it, lifetime at most 60 seconds. Only the gateway may
vouch for users and API keys; every other issuer can speak for itself alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shared.clock import Clock
from shared.identity.files import FromFiles
from shared.identity.model import Identity, Kind
from shared.identity.tokens import Signer, StrictVerifier, TokenRejected, key_id

INTERNAL_TYP: Final = "svc+jwt"
MAX_TTL: Final = 60
HEADER: Final = "X-SC-Identity"
GATEWAY: Final = "gateway"

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\s*", re.DOTALL)


def mint_internal(
    signer: Signer,
    audience: str,
    *,
    subject: str,
    kind: Kind = "service",
    workspace_id: str | None = None,
    role: str | None = None,
    permissions: Iterable[str] = (),
    scopes: Iterable[str] = (),
    session_id: str | None = None,
    key_id: str | None = None,
    maker: str | None = None,
    auth_time: datetime | int | None = None,
    request_id: str = "",
    client_ip: str | None = None,
    ttl: int = MAX_TTL,
) -> str:
    """A token for the header `X-SC-Identity` of one request to `audience`."""
    if not 0 < ttl <= MAX_TTL:
        raise ValueError(f"an internal token lives 1 to {MAX_TTL} seconds")
    when = int(auth_time.timestamp()) if isinstance(auth_time, datetime) else auth_time
    claims: dict[str, Any] = {
        "aud": audience,
        "sub": subject,
        "kind": kind,
        "ws": workspace_id,
        "role": role,
        "perms": sorted(permissions),
        "scopes": sorted(scopes),
        "sid": session_id,
        "key_id": key_id,
        "maker": maker,
        "auth_time": when,
        "rid": request_id or None,
        "ip": client_ip,
    }
    return signer.sign(claims, typ=INTERNAL_TYP, ttl=ttl)


def load_trust(directory: Path) -> dict[str, dict[str, bytes]]:
    """issuer → kid → PEM, from the files `<issuer>.pem`; a file may hold several keys while one is replaced."""
    trust: dict[str, dict[str, bytes]] = {}
    for path in sorted(directory.glob("*.pem")):
        keys = _PEM.findall(path.read_bytes())
        trust[path.stem] = {key_id(path.stem, pem): pem for pem in keys}
    return trust


class InternalVerifier:
    """Verifies `X-SC-Identity` for one service against the keys of the trust directory.

    The directory is read again within a second of a change, so that keys can be replaced without a restart: first
    the new one is added here, then it signs, then the old one is taken away.
    """

    def __init__(
        self,
        directory: Path,
        audience: str,
        *,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._audience = audience
        self._clock = clock
        self._verifiers = FromFiles(lambda: sorted(directory.glob("*.pem")), self._load, monotonic)

    def _load(self) -> list[StrictVerifier]:
        return [
            StrictVerifier(
                keys, issuer, self._audience, INTERNAL_TYP, max_lifetime=MAX_TTL, clock=self._clock,
                strings=("sub", "kind"),
            )
            for issuer, keys in load_trust(self._directory).items()
        ]  # fmt: skip

    def verify(self, token: str) -> Identity:
        """The identity that the token states; `TokenRejected` when it is not valid for this service now."""
        for verifier in self._verifiers.get():
            if verifier.knows(token):
                return _identity(verifier.verify(token))
        raise TokenRejected("unknown key")


def _identity(claims: dict[str, Any]) -> Identity:
    kind, issuer = claims["kind"], claims["iss"]
    if kind == "service":
        if claims["sub"] != issuer:
            raise TokenRejected("a service speaks for itself only")
    elif kind not in ("user", "api_key") or issuer != GATEWAY:
        raise TokenRejected("only the gateway vouches for callers")
    auth_time = claims.get("auth_time")
    if auth_time is not None and type(auth_time) is not int:
        raise TokenRejected("auth_time")
    return Identity(
        kind=kind,
        subject=claims["sub"],
        workspace_id=_text(claims, "ws"),
        role=_text(claims, "role"),
        permissions=_words(claims, "perms"),
        scopes=_words(claims, "scopes"),
        session_id=_text(claims, "sid"),
        auth_time=None if auth_time is None else datetime.fromtimestamp(auth_time, UTC),
        issuer=issuer,
        request_id=_text(claims, "rid") or "",
        client_ip=_text(claims, "ip"),
        key_id=_text(claims, "key_id"),
        maker=_text(claims, "maker"),
    )


def _text(claims: dict[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and (type(value) is not str or not 1 <= len(value) <= 128):
        raise TokenRejected(name)
    return value


def _words(claims: dict[str, Any], name: str) -> frozenset[str]:
    value = claims.get(name, [])
    if type(value) is not list or not all(type(word) is str and 1 <= len(word) <= 64 for word in value):
        raise TokenRejected(name)
    return frozenset(value)
