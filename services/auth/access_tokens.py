"""Access tokens (RFC 9068) and the JWKS that publishes their keys. Only the API process has the private key.

A token says who signed in and when. It says neither role nor workspace, since those change while it lives.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.clock import Clock
from shared.identity import FileSigner, FromFiles, Signer, TokenSigner, key_id, public_pem_of
from shared.ids import uuid7_hex

AUDIENCE: Final = "sendchief-api"
LIFETIME_SECONDS: Final = 600
FORM: Final = 1
"""The claim `ver`: grows when a claim is taken away or means something else, so that nobody reads one for the other."""
_KEY_NAME: Final = "auth"


class AccessTokens:
    """`issuer` is the public URL of the API. `private` is the signing key (PEM), or the file that holds it and may be
    replaced while the process runs. Keys of `published_dir` are in the JWKS but sign nothing: the next one, and
    former ones while tokens of theirs live.
    """

    def __init__(
        self, private: bytes | Path, issuer: str, clock: Clock, published_dir: Path | None = None
    ) -> None:
        self._signer: Signer
        if isinstance(private, Path):
            signing = FileSigner(private, issuer, name=_KEY_NAME, clock=clock)
            self._signer = signing
            self._public: Callable[[], bytes] = lambda: signing.public_pem
        else:
            public = public_pem_of(private)
            self._signer = TokenSigner(private, key_id(_KEY_NAME, public), issuer, clock=clock)
            self._public = lambda: public

        def others() -> list[Path]:
            return sorted(published_dir.glob("*.pem")) if published_dir else []

        self._others = FromFiles(others, lambda: [_jwk_of(path.read_bytes()) for path in others()])

    def issue(
        self,
        *,
        account_id: str,
        session_id: str,
        authenticated_at: datetime,
        methods: Sequence[str] = ("pwd",),
    ) -> str:
        """`methods` are the names of RFC 8176 for how the person was authenticated at that moment."""
        claims = {
            "aud": AUDIENCE,
            "sub": account_id,
            "sid": session_id,
            "jti": uuid7_hex(),
            "ver": FORM,
            "amr": list(methods),
            "auth_time": int(authenticated_at.timestamp()),
        }
        return self._signer.sign(claims, typ="at+jwt", ttl=LIFETIME_SECONDS)

    def jwks(self) -> dict[str, Any]:
        """JSON Web Key Set (RFC 7517), P-256 keys only; the first one signs."""
        signing = _jwk_of(self._public())
        others = [key for key in self._others.get() if key["kid"] != signing["kid"]]
        return {"keys": [signing, *others]}


def _jwk_of(pem: bytes) -> dict[str, str]:
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("only P-256 keys are published")
    numbers = key.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "kid": key_id(_KEY_NAME, pem),
        "x": _b64(numbers.x),
        "y": _b64(numbers.y),
    }


def _b64(coordinate: int) -> str:
    return base64.urlsafe_b64encode(coordinate.to_bytes(32, "big")).rstrip(b"=").decode()
