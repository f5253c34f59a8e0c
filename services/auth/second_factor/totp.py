"""Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, six digits and 30 seconds, which every app understands."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import datetime
from typing import Final

from passlib.exc import TokenError
from passlib.totp import TOTP

ISSUER: Final = "SendChief"
KEY_BYTES: Final = 20
"""160 bits, as long as the hash (RFC 4226 section 4, R6)."""
PERIOD_SECONDS: Final = 30
DRIFT_SECONDS: Final = 30
"""A clock that is off by one step is still believed (RFC 6238 section 5.2)."""

_FORM = re.compile(r"[0-9]{6}")
_Totp = TOTP.using(alg="sha1", digits=6, period=PERIOD_SECONDS, issuer=ISSUER)


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def secret_text(key: bytes) -> str:
    """Base32, for typing into an app that has no camera."""
    return base64.b32encode(key).decode()


def uri(key: bytes, email: str) -> str:
    """`otpauth://totp/…`, for the QR code."""
    return str(_totp(key).to_uri(label=email))


def matching_step(key: bytes, code: str, now: datetime, last_step: int) -> int | None:
    """The step whose code this is, if it is one of now's and later than `last_step`; else None."""
    digits = re.sub(r"[ -]", "", code)
    if not _FORM.fullmatch(digits):  # passlib fails on digits of other scripts instead of refusing them
        return None
    try:
        found = _totp(key).match(
            digits, time=int(now.timestamp()), window=DRIFT_SECONDS, last_counter=last_step
        )
    except TokenError:
        return None
    return int(found.counter)


def code_at(key: bytes, now: datetime) -> str:
    """What the person's app shows at that moment."""
    return str(_totp(key).generate(int(now.timestamp())).token)


def _totp(key: bytes) -> TOTP:
    return _Totp(key, format="raw")
