"""The signature of Resend's webhooks: Standard Webhooks, with Svix's header names.

`svix-signature` is a list, separated by spaces, of `v1,<base64 of HMAC-SHA256("{id}.{timestamp}.{body}")>`; the key is
what follows `whsec_` in the secret, in base64. Source: https://www.standardwebhooks.com and
https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import datetime

from pydantic import SecretStr

from services.auth.ports import SignatureRejected

TOLERANCE_SECONDS = 300
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix is public
_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SECONDS = re.compile(r"[0-9]{1,12}")


class ResendWebhook:
    """`secret` is what Resend shows at the webhook: `whsec_` and base64."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def verify(
        self,
        body: bytes,
        *,
        event_id: str | None,
        timestamp: str | None,
        signatures: str | None,
        now: datetime,
    ) -> None:
        """Raises SignatureRejected unless one `v1` signature fits and the timestamp is within five minutes of `now`."""
        if event_id is None or not _ID.fullmatch(event_id):
            raise SignatureRejected("no id")
        if timestamp is None or not _SECONDS.fullmatch(timestamp):
            raise SignatureRejected("no timestamp")
        expected = sign(body, event_id=event_id, timestamp=timestamp, secret=self._secret)
        given = [part.encode("utf-8", "replace") for part in (signatures or "").split(" ")[:16]]
        if not any(hmac.compare_digest(part, expected.encode()) for part in given):
            raise SignatureRejected("no signature fits")
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
            raise SignatureRejected("the timestamp is too far from now")


def sign(body: bytes, *, event_id: str, timestamp: str, secret: SecretStr) -> str:
    """The `v1,…` entry. Raises ValueError for a secret of another form."""
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the webhook secret is not whsec_ and base64") from None
    mac = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()
