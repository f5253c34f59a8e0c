"""What the key service does for a rotation: keys go from one wrapping to another and never leave it open."""

from __future__ import annotations

import os
from typing import Any

from services.vault import associated_data
from services.vault.aead import KEY_BYTES, NotAuthentic
from services.vault.envelope import DOMAIN, check_value
from services.vault.envelope import rewrap as rewrap_secret
from services.vault.keyservice.keyring import Keyring
from services.vault.keyservice.protocol import BadFrame, decode_bytes, encode_bytes
from services.vault.ports import KeyContext
from services.vault.secret_bytes import SecretBytes

OPERATIONS = frozenset({"status", "make", "rewrap", "rewrap_secrets"})
"""All that a peer may ask who may rotate but not open."""


def make(keyring: Keyring, message: dict[str, Any]) -> dict[str, Any]:
    """A new data key, wrapped."""
    key = SecretBytes(os.urandom(KEY_BYTES))
    key_id, wrapped = keyring.wrap(key.reveal(), decode_bytes(message["context"]))
    answer = {"check_value": encode_bytes(check_value(key)), **_wrapped(key_id, wrapped)}
    key.wipe()
    return answer


def rewrap(keyring: Keyring, message: dict[str, Any]) -> dict[str, Any]:
    """A data key under the primary. It is opened once more before the answer: the old wrapping is thrown away by it."""
    context = decode_bytes(message["context"])
    key = SecretBytes(keyring.unwrap(str(message["root_key_id"]), decode_bytes(message["wrapped"]), context))
    key_id, wrapped = keyring.wrap(key.reveal(), context)
    if keyring.unwrap(key_id, wrapped, context) != key.reveal():
        raise NotAuthentic("the new wrapping does not open")
    key.wipe()
    return _wrapped(key_id, wrapped)


def rewrap_secrets(keyring: Keyring, message: dict[str, Any]) -> dict[str, Any]:
    """Secrets' keys from one data key of a scope to another of the same scope; null for what does not open."""
    environment, scope = str(message["environment"]), str(message["scope"])
    belongs = associated_data.encode(DOMAIN, environment, scope)
    wraps = [(decode_bytes(data), decode_bytes(wrap)) for data, wrap in message["wraps"]]
    if not all(data.startswith(belongs) for data, _ in wraps):
        raise BadFrame("a secret of another scope")
    old = _data_key(keyring, environment, scope, message["old"])
    new = _data_key(keyring, environment, scope, message["new"])
    answers: list[str | None] = []
    for data, wrap in wraps:
        try:
            answers.append(encode_bytes(rewrap_secret(wrap, data, old=old, new=new, random_bytes=os.urandom)))
        except NotAuthentic:
            answers.append(None)
    old[1].wipe()
    new[1].wipe()
    return {"wraps": answers}


def _data_key(
    keyring: Keyring, environment: str, scope: str, described: dict[str, Any]
) -> tuple[int, SecretBytes]:
    version = int(described["version"])
    context = KeyContext(environment, scope, version).encode()
    key = keyring.unwrap(str(described["root_key_id"]), decode_bytes(described["wrapped"]), context)
    return version, SecretBytes(key)


def _wrapped(key_id: str, wrapped: bytes) -> dict[str, Any]:
    return {"root_key_id": key_id, "wrapped": encode_bytes(wrapped)}
