"""Secrets that we have to read again, at rest: keys of authenticators and of webhooks, each kind under its own key.

AES-256-GCM. Format: 0x01 | key id 4 | nonce 12 | ciphertext and tag. Kind and owner are authenticated data, so a row
moved to another owner does not open. A dump of the database without the process's key opens nothing.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

_FORMAT: Final = b"\x01"
SHORTEST_SECRET: Final = 32
Kind = Literal["second_factor", "webhook"]


class NotOpened(RuntimeError):
    """Sealed under a key that is not there any more, or not for this owner: somebody has to be called."""


class Sealing:
    """Seals under `current`; opens what was sealed under it or under `previous`, while the key is replaced."""

    def __init__(self, kind: Kind, current: SecretStr, previous: SecretStr | None = None) -> None:
        self._kind = kind
        self._context = f"sendchief {kind.replace('_', ' ')}".encode()
        keys = [self._derived(secret) for secret in (current, previous) if secret is not None]
        self._keys = {self._key_id(key): AESGCM(key) for key in keys}
        self._current = self._key_id(keys[0])

    def seal(self, secret: bytes, owner_id: str) -> bytes:
        nonce = os.urandom(12)
        sealed = self._keys[self._current].encrypt(nonce, secret, self._bound_to(owner_id))
        return _FORMAT + self._current + nonce + sealed

    def open(self, sealed: bytes, owner_id: str) -> bytes:
        """Raises NotOpened."""
        cipher = self._keys.get(sealed[1:5])
        if sealed[:1] != _FORMAT or cipher is None:
            raise NotOpened(f"the secret of a {self._kind} was sealed under an unknown key")
        try:
            return cipher.decrypt(sealed[5:17], sealed[17:], self._bound_to(owner_id))
        except InvalidTag:
            raise NotOpened(f"the secret of a {self._kind} does not belong to this owner") from None

    def outdated(self, sealed: bytes) -> bool:
        """Whether it is to be sealed again, under the current key."""
        return sealed[1:5] != self._current

    def _derived(self, secret: SecretStr) -> bytes:
        clear = secret.get_secret_value().encode()
        if len(clear) < SHORTEST_SECRET:
            raise ValueError(
                f"the key that seals {self._kind} secrets has fewer than {SHORTEST_SECRET} characters"
            )
        return HKDF(hashes.SHA256(), 32, salt=None, info=self._context).derive(clear)

    def _key_id(self, key: bytes) -> bytes:
        return hashlib.sha256(self._context + key).digest()[:4]

    def _bound_to(self, owner_id: str) -> bytes:
        return f"sc.auth.{self._kind}|{owner_id}".encode()
