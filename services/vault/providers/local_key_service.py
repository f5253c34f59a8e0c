"""The key service of this machine: a process with a uid of its own behind a unix socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from services.vault.errors import KeyRefused, KeyServiceUnavailable
from services.vault.keyservice.protocol import (
    LENGTH,
    BadFrame,
    decode_bytes,
    encode_bytes,
    encode_frame,
    read_body,
)
from services.vault.ports import KeyContext, WrappedKey
from services.vault.secret_bytes import SecretBytes


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

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._exchange(message)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, BadFrame) as error:
            raise KeyServiceUnavailable(
                "Nothing was decrypted. Repeat the request in a moment.", retry_after=5
            ) from error
        if "error" in answer:
            raise KeyRefused(f"the key service answers {answer['error']} to {message['operation']}")
        return answer

    async def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            writer.write(encode_frame(message))
            await writer.drain()
            return await read_body(reader, await reader.readexactly(LENGTH.size))
        finally:
            writer.close()
