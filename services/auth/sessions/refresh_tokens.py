"""Refresh tokens: opaque, 256 bits, stored as SHA-256.

The successor of a used token is kept sealed under a key that only the used token gives: a browser whose answer got
lost asks again with the old token and gets the same successor, while a dump of the table gives nobody anything.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX: Final = "sc_rt_"
_FORM = re.compile(r"sc_rt_[A-Za-z0-9_-]{43}\Z")


def new_token() -> str:
    return PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def digest(token: str) -> bytes | None:
    """What is stored and looked up; None for text that cannot be a token."""
    return hashlib.sha256(token.encode()).digest() if _FORM.match(token) else None


def seal(successor: str, under: str) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(_key(under)).encrypt(nonce, successor.encode(), None)


def unseal(sealed: bytes, under: str) -> str:
    return AESGCM(_key(under)).decrypt(sealed[:12], sealed[12:], None).decode()


def _key(token: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=b"sendchief refresh successor").derive(token.encode())
