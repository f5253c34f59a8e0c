"""What the key service does for a rotation: keys go from one wrapping to another and never leave it open."""

from __future__ import annotations

import os
from typing import Any

from services.vault import associated_data
from services.vault.aead import KEY_BYTES, NotAuthentic
from services.vault.envelope import DOMAIN, check_value
from services.vault.envelope import rewrap as rewrap_secret
from services.vault.keyservice.protocol import BadFrame, decode_bytes, encode_bytes
from services.vault.ports import KeyContext, RootKeyStore, WrappedKey
from services.vault.secret_bytes import SecretBytes

OPERATIONS = frozenset({"status", "make", "rewrap", "rewrap_secrets"})
"""All that a peer may ask who may rotate but not open."""


async def make(store: RootKeyStore, message: dict[str, Any]) -> dict[str, Any]:
    """A new data key, wrapped. It is made here whatever the store: a KMS's own generation takes no context."""
    key = SecretBytes(os.urandom(KEY_BYTES))
    wrapped = await store.wrap(key, decode_bytes(message["context"]))
    answer = {"check_value": encode_bytes(check_value(key)), **described(wrapped)}
    key.wipe()
    return answer


async def rewrap(store: RootKeyStore, message: dict[str, Any]) -> dict[str, Any]:
    """A data key under the primary. It is opened once more before the answer: the old wrapping is thrown away by it.

    By opening and sealing, here, for every store: the rewrapping of a KMS leaves out the context (transit), or comes
    with the opened key anyhow (Scaleway).
    """
    context = decode_bytes(message["context"])
    key = await store.unwrap(wrapped_of(message), context)
    again = await store.wrap(key, context)
    if await store.unwrap(again, context) != key:
        raise NotAuthentic("the new wrapping does not open")
    key.wipe()
    return described(again)


async def rewrap_secrets(store: RootKeyStore, message: dict[str, Any]) -> dict[str, Any]:
    """Secrets' keys from one data key of a scope to another of the same scope; null for what does not open."""
    environment, scope = str(message["environment"]), str(message["scope"])
    belongs = associated_data.encode(DOMAIN, environment, scope)
    wraps = [(decode_bytes(data), decode_bytes(wrap)) for data, wrap in message["wraps"]]
    if not all(data.startswith(belongs) for data, _ in wraps):
        raise BadFrame("a secret of another scope")
    old = await _data_key(store, environment, scope, message["old"])
    new = await _data_key(store, environment, scope, message["new"])
    answers: list[str | None] = []
    for data, wrap in wraps:
        try:
            answers.append(encode_bytes(rewrap_secret(wrap, data, old=old, new=new, random_bytes=os.urandom)))
        except NotAuthentic:
            answers.append(None)
    old[1].wipe()
    new[1].wipe()
    return {"wraps": answers}


async def _data_key(
    store: RootKeyStore, environment: str, scope: str, message: dict[str, Any]
) -> tuple[int, SecretBytes]:
    version = int(message["version"])
    return version, await store.unwrap(wrapped_of(message), KeyContext(environment, scope, version).encode())


def wrapped_of(message: dict[str, Any]) -> WrappedKey:
    return WrappedKey(str(message["root_key_id"]), decode_bytes(message["wrapped"]))


def described(wrapped: WrappedKey) -> dict[str, Any]:
    return {"root_key_id": wrapped.root_key_id, "wrapped": encode_bytes(wrapped.ciphertext)}
