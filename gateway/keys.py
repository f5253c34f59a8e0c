"""Auth's public keys, from its JWKS (RFC 7517). Only P-256 keys are taken, and only as PEM from here on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


class BadJwk(ValueError):
    """Not a P-256 public key for ES256 signatures."""


def pem_of(key: Mapping[str, Any]) -> bytes:
    """SubjectPublicKeyInfo, PEM. A point that is not on the curve is refused by the library."""
    wanted = (key.get("kty"), key.get("crv"), key.get("alg"), key.get("use"))
    if wanted != ("EC", "P-256", "ES256", "sig") or "d" in key:
        raise BadJwk("only public P-256 keys for ES256 are taken")
    numbers = ec.EllipticCurvePublicNumbers(_number(key.get("x")), _number(key.get("y")), ec.SECP256R1())
    try:
        public = numbers.public_key()
    except ValueError as error:
        raise BadJwk("the point is not on P-256") from error
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def keys_of(jwks: Any) -> dict[str, bytes]:
    """kid → PEM. Two keys with one kid are refused."""
    if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list) or len(jwks["keys"]) > 16:
        raise BadJwk("not a key set")
    found: dict[str, bytes] = {}
    for key in jwks["keys"]:
        kid = key.get("kid") if isinstance(key, dict) else None
        if not isinstance(kid, str) or not 1 <= len(kid) <= 64 or kid in found:
            raise BadJwk("each key needs a name of its own")
        found[kid] = pem_of(key)
    return found


def _number(text: Any) -> int:
    if not isinstance(text, str) or len(text) != 43:
        raise BadJwk("a coordinate is 32 bytes")
    try:
        return int.from_bytes(base64.b64decode(text + "=", altchars=b"-_", validate=True), "big")
    except binascii.Error as error:
        raise BadJwk("a coordinate is base64url") from error
