"""Standard Webhooks: how a message is signed, by us and by the mail provider. https://www.standardwebhooks.com

`webhook-signature` is a list, separated by spaces, of `v1,<base64 of HMAC-SHA256("{id}.{timestamp}.{body}")>`; the key
is what follows `whsec_` in the secret, in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from pydantic import SecretStr

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix is public
KEY_BYTES: Final = 32


def secret_of(key: bytes) -> SecretStr:
    """The form in which a secret is shown."""
    return SecretStr(SECRET_PREFIX + base64.b64encode(key).decode())


def sign(body: bytes, *, event_id: str, timestamp: str, secret: SecretStr) -> str:
    """The `v1,…` entry. `timestamp` is in seconds since 1970. Raises ValueError for a secret of another form."""
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the webhook secret is not whsec_ and base64") from None
    mac = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()
