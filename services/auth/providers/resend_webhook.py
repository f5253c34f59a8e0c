"""The signature of Resend's webhooks: Standard Webhooks (`standard_webhooks.py`), with Svix's header names.

Source: https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime

from pydantic import SecretStr

from services.auth.ports import SignatureRejected
from services.auth.standard_webhooks import sign

TOLERANCE_SECONDS = 300
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
