"""Stripe's webhook signature: `t=…,v1=…`, HMAC-SHA256 of `{t}.{raw body}`.

Source: https://docs.stripe.com/webhooks#verify-manually. The tolerance holds both ways: the SDK's own check lets a
timestamp from the future pass.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime

from pydantic import SecretStr

TOLERANCE_SECONDS = 300
_PART = re.compile(r"(t|v1)=([0-9a-f]+)")


class SignatureRejected(Exception):
    """The reason is for logs."""


def verify(body: bytes, header: str | None, secret: SecretStr, now: datetime) -> None:
    """Raises SignatureRejected unless one `v1` signature fits and the timestamp is within five minutes of `now`."""
    parts = [_PART.fullmatch(part.strip()) for part in (header or "").split(",")[:16]]
    found = [match.groups() for match in parts if match is not None]
    stamps = [value for key, value in found if key == "t"]
    if len(stamps) != 1 or not stamps[0].isdigit() or len(stamps[0]) > 12:
        raise SignatureRejected("no timestamp")
    expected = hmac.new(
        secret.get_secret_value().encode(), stamps[0].encode() + b"." + body, hashlib.sha256
    ).hexdigest()
    if not any(hmac.compare_digest(value, expected) for key, value in found if key == "v1"):
        raise SignatureRejected("no signature fits")
    if abs(now.timestamp() - int(stamps[0])) > TOLERANCE_SECONDS:
        raise SignatureRejected("the timestamp is too far from now")
