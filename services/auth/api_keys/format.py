"""The form of API keys: `sc_live_<8 public id>_<32 secret>_<6 checksum>`, all base62.

The checksum (CRC32, as in GitHub's tokens) lets a scanner tell a key from noise and costs a typo no query. The
secret part has 190 bits, so a fast keyed hash is enough for storing it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from typing import NamedTuple

from pydantic import SecretStr

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PATTERN = re.compile(r"sc_live_([0-9A-Za-z]{8})_([0-9A-Za-z]{32})_([0-9A-Za-z]{6})")


class NewKey(NamedTuple):
    public_id: str
    key: SecretStr


def generate() -> NewKey:
    public_id, secret = _random(8), _random(32)
    stem = f"sc_live_{public_id}_{secret}"
    return NewKey(public_id, SecretStr(f"{stem}_{checksum(stem)}"))


def public_id_of(presented: str) -> str | None:
    """The public id of a well-formed key, else None: nobody need look it up."""
    match = PATTERN.fullmatch(presented)
    if match is None or not hmac.compare_digest(checksum(presented[:-7]), match[3]):
        return None
    return match[1]


def checksum(stem: str) -> str:
    """CRC32 in six base62 digits, most significant first."""
    number, digits = zlib.crc32(stem.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        digits = ALPHABET[rest] + digits
    return digits


class KeyHasher:
    """HMAC-SHA256 under the pepper, which is not in the database."""

    def __init__(self, pepper: SecretStr) -> None:
        self._pepper = pepper.get_secret_value().encode()
        if len(self._pepper) < 32:
            raise ValueError("the pepper of API keys needs at least 32 characters")

    def hash(self, key: str) -> bytes:
        return hmac.digest(self._pepper, b"api key|" + key.encode(), hashlib.sha256)

    def matches(self, key: str, stored: bytes) -> bool:
        return hmac.compare_digest(self.hash(key), stored)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
