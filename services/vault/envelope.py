"""Ciphertext format 1: a random key per secret, wrapped by a data key.

    0x01 | data key version u32 | wrap nonce 12 | wrapped key 32 | wrap tag 16 | nonce 12 | ciphertext | tag 16

Numbers are big-endian. The wrap's associated data is the secret's plus the data key's version, so a row
that is copied to another scope, owner, field or version does not open, and a data key is rotated by
rewrapping 32 bytes without decrypting the secret. Golden files in the tests hold this format still.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from services.vault import associated_data
from services.vault.aead import KEY_BYTES, NONCE_BYTES, TAG_BYTES, NotAuthentic, open_sealed, scheduled, seal
from services.vault.secret_bytes import SecretBytes

FORMAT_1 = 0x01
DOMAIN = "sc.vault.v1"
CHECK_VALUE_BYTES = 16

_HEADER = struct.Struct(">BI")
_WRAPPED_BYTES = KEY_BYTES + TAG_BYTES
_PAYLOAD_AT = _HEADER.size + NONCE_BYTES + _WRAPPED_BYTES
_NONCE = slice(_HEADER.size, _HEADER.size + NONCE_BYTES)
_FORMAT = struct.Struct(f"{_HEADER.format}{NONCE_BYTES}s{_WRAPPED_BYTES}s{NONCE_BYTES}s")
"""All but the payload, which is the rest."""
_SHORTEST = _FORMAT.size + TAG_BYTES

RandomBytes = Callable[[int], bytes]


class Binding(NamedTuple):
    """What a ciphertext belongs to. `scope` is a workspace id or `platform`; `version` counts the secret's own."""

    environment: str
    scope: str
    owner_kind: str
    owner_id: str
    field: str
    version: int

    def secret_data(self) -> bytes:
        kind = Kind(self.environment, self.scope, self.owner_kind, self.field)
        return kind.data(self.owner_id, self.version)

    def wrap_data(self, data_key_version: int) -> bytes:
        return _wrap_data(self.secret_data(), data_key_version)


class Kind:
    """What the bindings of many secrets have in common."""

    def __init__(self, environment: str, scope: str, owner_kind: str, field: str) -> None:
        self._before = associated_data.encode(DOMAIN, environment, scope, owner_kind)
        self._field = field

    def data(self, owner_id: str, version: int) -> bytes:
        """`DOMAIN` and the fields of a binding, in order, as one list: what a secret's payload is bound to."""
        owner = owner_id.encode()
        return self._before + associated_data.length(owner) + owner + _encoded(self._field, version)


@lru_cache(maxsize=256)
def _encoded(*fields: str | int) -> bytes:
    """What many secrets have in common. A list is encoded as its parts are, one after the other."""
    return associated_data.encode(*fields)


def encrypt(
    plaintext: SecretBytes,
    *,
    data_key: SecretBytes,
    data_key_version: int,
    binding: Binding,
    random_bytes: RandomBytes,
) -> bytes:
    """Seals `plaintext` in format 1. `random_bytes` is asked for the secret's key and both nonces."""
    secret_key = random_bytes(KEY_BYTES)
    wrap_nonce = random_bytes(NONCE_BYTES)
    nonce = random_bytes(NONCE_BYTES)
    wrapped = seal(data_key.reveal(), wrap_nonce, secret_key, binding.wrap_data(data_key_version))
    sealed = seal(secret_key, nonce, plaintext.reveal(), binding.secret_data())
    return _HEADER.pack(FORMAT_1, data_key_version) + wrap_nonce + wrapped + nonce + sealed


def decrypt(ciphertext: bytes, *, data_key: SecretBytes, binding: Binding) -> SecretBytes:
    """Opens format 1. Raises NotAuthentic for anything that was not sealed for exactly this binding."""
    keys = {data_key_version(ciphertext): scheduled(data_key.reveal())}
    return open_with(keys, ciphertext, binding.secret_data())


def open_with(data_keys: Mapping[int, AESGCM], ciphertext: bytes, data: bytes) -> SecretBytes:
    """As `decrypt`, with what many have in common made once: `data_keys` by version, as of `aead.scheduled`; `data` is
    the secret's associated data."""
    version = data_key_version(ciphertext)
    _, _, wrap_nonce, wrapped, nonce = _FORMAT.unpack_from(ciphertext)
    try:
        secret_key = data_keys[version].decrypt(wrap_nonce, wrapped, _wrap_data(data, version))
        return SecretBytes(AESGCM(secret_key).decrypt(nonce, ciphertext[_FORMAT.size :], data))
    except InvalidTag:
        raise NotAuthentic("authentication failed") from None


def wrap_of(ciphertext: bytes) -> bytes:
    """The wrapped key with its nonce, 60 bytes: all of a ciphertext that a rotation has to do with."""
    data_key_version(ciphertext)
    return ciphertext[_HEADER.size : _PAYLOAD_AT]


def with_wrap(ciphertext: bytes, wrap: bytes, data_key_version: int) -> bytes:
    """The same secret under another data key; what follows the wrap is not touched."""
    return _HEADER.pack(FORMAT_1, data_key_version) + wrap + ciphertext[_PAYLOAD_AT:]


def rewrap(
    wrap: bytes,
    secret_data: bytes,
    *,
    old: tuple[int, SecretBytes],
    new: tuple[int, SecretBytes],
    random_bytes: RandomBytes,
) -> bytes:
    """`wrap` under another data key; `old` and `new` are version and key. Raises NotAuthentic.

    `secret_data` is the secret's associated data. The secret itself does not come here.
    """
    nonce, sealed = wrap[:NONCE_BYTES], wrap[NONCE_BYTES:]
    if len(sealed) != _WRAPPED_BYTES:
        raise NotAuthentic("not a wrap of format 1")
    secret_key = open_sealed(old[1].reveal(), nonce, sealed, _wrap_data(secret_data, old[0]))
    fresh = random_bytes(NONCE_BYTES)
    return fresh + seal(new[1].reveal(), fresh, secret_key, _wrap_data(secret_data, new[0]))


def _wrap_data(secret_data: bytes, data_key_version: int) -> bytes:
    return secret_data + _encoded(data_key_version)


def data_key_version(ciphertext: bytes) -> int:
    """Which version of the scope's data key wrapped it. Raises NotAuthentic for another format or a stump."""
    if len(ciphertext) < _SHORTEST:
        raise NotAuthentic("too short for format 1")
    form, version = _HEADER.unpack_from(ciphertext)
    if form != FORMAT_1:
        raise NotAuthentic("not a known format")
    return int(version)


def wrap_nonce(ciphertext: bytes) -> bytes:
    """The nonce used under the data key; stored under a unique index, which is the alarm for a repeated one."""
    return ciphertext[_NONCE]


def check_value(data_key: SecretBytes) -> bytes:
    """16 bytes that tell one data key from another without opening anything: HKDF-Expand (RFC 5869, SHA-256)."""
    return HKDFExpand(algorithm=SHA256(), length=CHECK_VALUE_BYTES, info=b"sc.kcv.v1").derive(
        data_key.reveal()
    )
