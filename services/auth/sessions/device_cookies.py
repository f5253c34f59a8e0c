"""Device cookies: how a browser that has signed in before is told from strangers who guess.

As in OWASP's "Slow Down Online Guessing Attacks with Device Cookies": the cookie is bound to one account, opens
nothing, and gives its bearer a small counter of failures of his own, which nobody else can fill. It ends with the
password that it was earned with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

from fastapi import Response
from pydantic import SecretStr

from services.auth.models import Account

NAME: Final = "__Host-sc_dc"
_MAX_AGE: Final = 365 * 24 * 3600
_FORM: Final = re.compile(r"sc_dc_([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})\Z")


class DeviceCookies:
    def __init__(self, pepper: bytes) -> None:
        self._key = hmac.digest(pepper, b"sendchief device cookie", hashlib.sha256)

    def issue(self, account: Account) -> str:
        nonce = _text(secrets.token_bytes(16))
        return f"sc_dc_{nonce}.{self._proof(account, nonce)}"

    def nonce(self, cookie: str | None, account: Account | None) -> str | None:
        """What tells this cookie from others, if it is one of ours for this account and password; else None."""
        found = _FORM.match(cookie or "")
        if found is None or account is None:
            return None
        return found[1] if hmac.compare_digest(found[2], self._proof(account, found[1])) else None

    def _proof(self, account: Account, nonce: str) -> str:
        said = f"{account.id}|{account.password_changed_at.timestamp():.6f}|{nonce}"
        return _text(hmac.digest(self._key, said.encode(), hashlib.sha256))


def remember_device(response: Response, cookie: SecretStr | None) -> None:
    """Sets the cookie in the browser."""
    if cookie is not None:
        response.set_cookie(
            NAME,
            cookie.get_secret_value(),
            max_age=_MAX_AGE,
            path="/",
            secure=True,
            httponly=True,
            samesite="strict",
        )


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
