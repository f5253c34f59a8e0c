"""The key service of this machine: a process with a uid of its own behind a unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.vault.errors import KeyRefused, KeyServiceDenied, KeyServiceUnavailable, RootKeyDisabled
from services.vault.keyservice.protocol import (
    LENGTH,
    BadFrame,
    decode_bytes,
    encode_bytes,
    encode_frame,
    read_body,
)
from services.vault.ports import KeyContext, RootKeys, SecretWrap, WrappedKey
from services.vault.secret_bytes import SecretBytes
from shared.observability.logging import get_logger

logger = get_logger(__name__)


NOT_NOW: dict[str, type[KeyServiceUnavailable]] = {
    "forbidden": KeyServiceDenied,
    "denied": KeyServiceDenied,
    "disabled": RootKeyDisabled,
    "unavailable": KeyServiceUnavailable,
}
"""Answers that say nothing about the key that was asked for."""


class LocalKeyService:
    """One connection per question: a data key is unwrapped once in five minutes, so nothing is gained by more."""

    def __init__(self, socket: Path, *, timeout_seconds: float = 2.0) -> None:
        self._socket = socket
        self._timeout = timeout_seconds

    async def wrap(self, key: SecretBytes, context: KeyContext) -> WrappedKey:
        answer = await self._ask(
            {
                "operation": "wrap",
                "context": encode_bytes(context.encode()),
                "key": encode_bytes(key.reveal()),
            }
        )
        return WrappedKey(str(answer["root_key_id"]), decode_bytes(answer["wrapped"]))

    async def unwrap(self, wrapped: WrappedKey, context: KeyContext) -> SecretBytes:
        answer = await self._ask(
            {
                "operation": "unwrap",
                "context": encode_bytes(context.encode()),
                "root_key_id": wrapped.root_key_id,
                "wrapped": encode_bytes(wrapped.ciphertext),
            }
        )
        return SecretBytes(decode_bytes(answer["key"]))

    async def check(self) -> None:
        await self._ask({"operation": "status"})

    async def root_keys(self) -> RootKeys:
        answer = await self._ask({"operation": "status"})
        return RootKeys(str(answer["primary"]), tuple(answer["keys"]))

    async def make(self, context: KeyContext) -> tuple[WrappedKey, bytes]:
        answer = await self._ask({"operation": "make", "context": encode_bytes(context.encode())})
        wrapped = WrappedKey(str(answer["root_key_id"]), decode_bytes(answer["wrapped"]))
        return wrapped, decode_bytes(answer["check_value"])

    async def rewrap(self, wrapped: WrappedKey, context: KeyContext) -> WrappedKey:
        answer = await self._ask(
            {
                "operation": "rewrap",
                "context": encode_bytes(context.encode()),
                "root_key_id": wrapped.root_key_id,
                "wrapped": encode_bytes(wrapped.ciphertext),
            }
        )
        return WrappedKey(str(answer["root_key_id"]), decode_bytes(answer["wrapped"]))

    async def rewrap_secrets(
        self,
        old: tuple[WrappedKey, KeyContext],
        new: tuple[WrappedKey, KeyContext],
        wraps: Sequence[SecretWrap],
    ) -> list[bytes | None]:
        answer = await self._ask(
            {
                "operation": "rewrap_secrets",
                "environment": old[1].environment,
                "scope": old[1].scope,
                "old": _described(*old),
                "new": _described(*new),
                "wraps": [[encode_bytes(one.secret_data), encode_bytes(one.wrap)] for one in wraps],
            }
        )
        return [None if wrap is None else decode_bytes(wrap) for wrap in answer["wraps"]]

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._exchange(message)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, BadFrame) as error:
            raise _not_now(KeyServiceUnavailable) from error
        if "error" not in answer:
            return answer
        refusal, operation = str(answer["error"]), message["operation"]
        if refusal in NOT_NOW:
            logger.error("the key service does not serve", operation=operation, answer=refusal)
            raise _not_now(NOT_NOW[refusal])
        raise KeyRefused(f"the key service answers {refusal} to {operation}")

    async def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            writer.write(encode_frame(message))
            await writer.drain()
            return await read_body(reader, await reader.readexactly(LENGTH.size))
        finally:
            writer.close()


def _not_now(kind: type[KeyServiceUnavailable]) -> KeyServiceUnavailable:
    return kind("Nothing was decrypted. Repeat the request in a moment.", retry_after=5)


def _described(wrapped: WrappedKey, context: KeyContext) -> dict[str, Any]:
    return {
        "version": context.version,
        "root_key_id": wrapped.root_key_id,
        "wrapped": encode_bytes(wrapped.ciphertext),
    }
