"""Signed tokens: ES256 JWS (RFC 7515, RFC 7519) by python-jose, behind a strict front. Nothing else imports jose.

The front exists because the library accepts what we never mint: other base64 spellings of a signature, unknown
`crit` headers, any `typ`, ill-typed and duplicate claims, keys in DER that it takes for HMAC secrets. So:

- keys are P-256 public keys in PEM, built once; never a JWK, never DER;
- the header segment must be byte-identical to one that our own signer writes for a known `kid` and `typ`;
- each segment must be canonical base64url;
- claims are checked by type, and the lifetime has an upper bound.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jws
from jose.exceptions import JOSEError
from jose.utils import base64url_encode

from shared.clock import Clock, SystemClock

ALGORITHM: Final = "ES256"
LEEWAY_SECONDS: Final = 5
# 64 bytes of signature are 86 characters, and the last one carries two unused bits that must be zero.
_FORM = re.compile(r"[A-Za-z0-9_-]{16,512}\.[A-Za-z0-9_-]{16,6000}\.[A-Za-z0-9_-]{85}[AQgw]\Z")

if jwk.get_key(ALGORITHM).__module__ != "jose.backends.cryptography_backend":
    raise ImportError("python-jose must use the cryptography backend: install python-jose[cryptography]")


class TokenRejected(Exception):
    """The token is not one of ours, or not valid now. `reason` is for logs, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadKey(ValueError):
    """Not a P-256 key in PEM."""


def key_fingerprint(public_pem: bytes | str) -> str:
    """Lower-case hex SHA-256 of the SubjectPublicKeyInfo."""
    der = _public_key(public_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def key_id(issuer: str, public_pem: bytes | str) -> str:
    """The `kid` under which `issuer` signs with this key: its name and the first 16 digits of the fingerprint."""
    return f"{issuer}-{key_fingerprint(public_pem)[:16]}"


def public_pem_of(private_pem: bytes | str) -> bytes:
    """The public half, PEM, of a private key in PEM."""
    return (
        _private_key(private_pem)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def generate_private_pem() -> bytes:
    """A new P-256 private key, PKCS #8 PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_key(pem: bytes | str) -> ec.EllipticCurvePublicKey:
    raw = pem.encode() if isinstance(pem, str) else pem
    if not raw.lstrip().startswith(b"-----BEGIN PUBLIC KEY-----"):
        raise BadKey("a public key must be PEM (SubjectPublicKeyInfo)")
    try:
        key = serialization.load_pem_public_key(raw)
    except ValueError as error:
        raise BadKey("the public key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadKey("the public key is not on P-256")
    return key


def _private_key(pem: bytes | str) -> ec.EllipticCurvePrivateKey:
    raw = pem.encode() if isinstance(pem, str) else pem
    try:
        key = serialization.load_pem_private_key(raw, password=None)
    except (ValueError, TypeError) as error:
        raise BadKey("the private key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadKey("the private key is not on P-256")
    return key


def _header_segment(kid: str, typ: str) -> str:
    header = json.dumps({"alg": ALGORITHM, "kid": kid, "typ": typ}, separators=(",", ":"), sort_keys=True)
    return str(base64url_encode(header.encode()).decode())


class Signer(Protocol):
    """Whoever signs as `issuer`: with one key for life, or with the one that a file holds now."""

    issuer: str

    def sign(self, claims: Mapping[str, Any], *, typ: str, ttl: int) -> str: ...


class TokenSigner:
    """Signs claims as one issuer with one key. `iss`, `iat`, `nbf` and `exp` are added here."""

    def __init__(
        self, private_pem: bytes | str, kid: str, issuer: str, *, clock: Clock | None = None
    ) -> None:
        _private_key(private_pem)
        pem = private_pem.decode() if isinstance(private_pem, bytes) else private_pem
        self._key = jwk.construct(pem, ALGORITHM)
        self._clock = clock or SystemClock()
        self.kid = kid
        self.issuer = issuer

    @classmethod
    def from_pem(cls, private_pem: bytes | str, issuer: str, *, clock: Clock | None = None) -> TokenSigner:
        """A signer whose `kid` is derived from the key, as verifiers derive it."""
        return cls(private_pem, key_id(issuer, public_pem_of(private_pem)), issuer, clock=clock)

    def sign(self, claims: Mapping[str, Any], *, typ: str, ttl: int) -> str:
        """A token that holds for `ttl` seconds from now, or from its `nbf`. Claims that are None are left out."""
        now = int(self._clock.now().timestamp())
        payload = {"nbf": now} | {name: value for name, value in claims.items() if value is not None}
        payload |= {"iss": self.issuer, "iat": now, "exp": now + ttl}
        token: str = jws.sign(payload, self._key, headers={"kid": self.kid, "typ": typ}, algorithm=ALGORITHM)
        return token


class StrictVerifier:
    """Verifies the tokens of one issuer for one audience and type.

    `keys` maps `kid` to a public key in PEM. `strings` names claims that must be there as strings of 1 to 128
    characters.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes | str],
        issuer: str,
        audience: str,
        typ: str,
        *,
        max_lifetime: int = 3600,
        strings: Iterable[str] = ("sub",),
        clock: Clock | None = None,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.typ = typ
        self._max_lifetime = max_lifetime
        self._strings = tuple(strings)
        self._clock = clock or SystemClock()
        self._keys: dict[str, Any] = {}
        for kid, pem in keys.items():
            _public_key(pem)
            text = pem.decode() if isinstance(pem, bytes) else pem
            self._keys[_header_segment(kid, typ)] = jwk.construct(text, ALGORITHM)

    def knows(self, token: str) -> bool:
        """Whether the header is one that this verifier's issuer writes. Says nothing about validity."""
        return token.partition(".")[0] in self._keys

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a valid token; `TokenRejected` for anything else, whatever it is."""
        key = self._keys.get(token.partition(".")[0])
        if key is None:
            raise TokenRejected("header")
        if not _FORM.match(token) or not _canonical(token.split(".")[1]):
            raise TokenRejected("form")
        try:
            payload = jws.verify(token, key, algorithms=(ALGORITHM,))
            claims = json.loads(payload, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        except (JOSEError, ValueError, RecursionError) as error:
            raise TokenRejected("signature") from error
        if not isinstance(claims, dict):
            raise TokenRejected("claims")
        self._check(claims)
        return claims

    def _check(self, claims: dict[str, Any]) -> None:
        now = int(self._clock.now().timestamp())
        issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
        if type(issued) is not int or type(expires) is not int or type(not_before) is not int:
            raise TokenRejected("time")
        if not (issued <= now + LEEWAY_SECONDS and not_before <= now + LEEWAY_SECONDS):
            raise TokenRejected("not yet valid")
        if not (now < expires <= issued + self._max_lifetime):
            raise TokenRejected("expired")
        if claims.get("iss") != self.issuer:
            raise TokenRejected("issuer")
        if claims.get("aud") != self.audience:
            raise TokenRejected("audience")
        for name in self._strings:
            value = claims.get(name)
            if type(value) is not str or not 1 <= len(value) <= 128:
                raise TokenRejected(name)


def _canonical(segment: str) -> bool:
    """Whether unused bits of the last base64url character are zero, so that a token has one spelling."""
    rest = len(segment) % 4
    if rest == 1:
        return False
    return rest == 0 or segment[-1] in ("AQgw" if rest == 2 else "AEIMQUYcgkosw048")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate claim")
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
