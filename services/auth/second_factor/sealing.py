"""Keys of authenticators at rest: AES-256-GCM under a key that only the API process is given.

Format: 0x01 | key id 4 | nonce 12 | ciphertext and tag. The account is authenticated data, so a row moved to another
account does not open. A dump of the database without the API's key gives nobody a code.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

_FORMAT: Final = b"\x01"
_CONTEXT: Final = b"sendchief second factor"
SHORTEST_SECRET: Final = 32


class NotOpened(RuntimeError):
    """Sealed under a key that is not there any more, or not for this account: somebody has to be called."""


class Sealing:
    """Seals under `current`; opens what was sealed under it or under `previous`, while the key is replaced."""

    def __init__(self, current: SecretStr, previous: SecretStr | None = None) -> None:
        keys = [_derived(secret) for secret in (current, previous) if secret is not None]
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def seal(self, key: bytes, account_id: str) -> bytes:
        nonce = os.urandom(12)
        sealed = self._keys[self._current].encrypt(nonce, key, _bound_to(account_id))
        return _FORMAT + self._current + nonce + sealed

    def open(self, sealed: bytes, account_id: str) -> bytes:
        """Raises NotOpened."""
        cipher = self._keys.get(sealed[1:5])
        if sealed[:1] != _FORMAT or cipher is None:
            raise NotOpened("the key of a second factor was sealed under an unknown key")
        try:
            return cipher.decrypt(sealed[5:17], sealed[17:], _bound_to(account_id))
        except InvalidTag:
            raise NotOpened("the key of a second factor does not belong to this account") from None

    def outdated(self, sealed: bytes) -> bool:
        """Whether it is to be sealed again, under the current key."""
        return sealed[1:5] != self._current


def _derived(secret: SecretStr) -> bytes:
    clear = secret.get_secret_value().encode()
    if len(clear) < SHORTEST_SECRET:
        raise ValueError(f"the key of second factors has fewer than {SHORTEST_SECRET} characters")
    return HKDF(hashes.SHA256(), 32, salt=None, info=_CONTEXT).derive(clear)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(_CONTEXT + key).digest()[:4]


def _bound_to(account_id: str) -> bytes:
    return f"sc.auth.second_factor|{account_id}".encode()
