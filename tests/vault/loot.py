"""What a thief of the vault has, and whether any of it opens anything: each 32 bytes of it are tried as a key."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.vault.envelope import Binding, data_key_version, wrap_nonce, wrap_of

_HEX = re.compile(rb"[0-9a-fA-F]{64,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{42,}=*")


@dataclass(frozen=True)
class Sealed:
    """Something that one key opens: nonce, ciphertext with tag, associated data."""

    nonce: bytes
    ciphertext: bytes
    associated: bytes

    @classmethod
    def of_secret(cls, ciphertext: bytes, binding: Binding) -> Sealed:
        """The key of a secret: a data key opens it."""
        data = binding.wrap_data(data_key_version(ciphertext))
        return cls(wrap_nonce(ciphertext), wrap_of(ciphertext)[12:], data)

    def opens_with(self, key: bytes) -> bool:
        try:
            AESGCM(key).decrypt(self.nonce, self.ciphertext, self.associated)
        except InvalidTag:
            return False
        return True


def readings(loot: bytes) -> Iterator[bytes]:
    """The bytes as they are, and what is hexadecimal or base64 in them decoded."""
    yield loot
    for found in _HEX.findall(loot):
        yield bytes.fromhex(found[: len(found) // 2 * 2].decode())
    for found in _BASE64.findall(loot):
        text = found.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        with_padding = text[: len(text) - (len(text) % 4 == 1)]
        try:
            yield base64.b64decode(with_padding + b"=" * (-len(with_padding) % 4))
        except binascii.Error:
            continue


def key_in(loot: bytes, sealed: Sealed) -> bool:
    """Whether any 32 bytes of the loot open it."""
    return any(
        sealed.opens_with(reading[at : at + 32])
        for reading in readings(loot)
        for at in range(len(reading) - 31)
    )
