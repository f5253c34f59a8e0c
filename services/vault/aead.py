"""AES-256-GCM with the one shape that is used here: 32-byte key, 96-bit nonce, 128-bit tag (NIST SP 800-38D)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class NotAuthentic(Exception):
    """The ciphertext, its nonce, its key or its associated data is not what was sealed. Says no more."""


def seal(key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """Ciphertext followed by the 16-byte tag. The caller never repeats a nonce under one key."""
    _check(key, nonce)
    return AESGCM(key).encrypt(nonce, plaintext, associated_data)


def open_sealed(key: bytes, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    """The plaintext of `sealed` (ciphertext and tag), or NotAuthentic."""
    _check(key, nonce)
    if len(sealed) < TAG_BYTES:
        raise NotAuthentic("shorter than a tag")
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated_data)
    except InvalidTag:
        raise NotAuthentic("authentication failed") from None


def scheduled(key: bytes) -> AESGCM:
    """The key with its schedule made, once for all that it is to open. It holds a copy that nobody can wipe."""
    if len(key) != KEY_BYTES:
        raise ValueError("AES-256 takes a key of 32 bytes")
    return AESGCM(key)


def _check(key: bytes, nonce: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError("AES-256 takes a key of 32 bytes")
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce is 12 bytes")
