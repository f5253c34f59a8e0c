"""Answers wrap and unwrap on a unix socket, to known uids only, and logs each operation without material."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import Counter
from pathlib import Path
from typing import Any

from services.vault.aead import NotAuthentic
from services.vault.errors import KeyRefused, KeyServiceDenied, KeyServiceUnavailable, RootKeyDisabled
from services.vault.keyservice import health, rotation
from services.vault.keyservice.protocol import (
    LENGTH,
    BadFrame,
    decode_bytes,
    encode_bytes,
    encode_frame,
    read_body,
)
from services.vault.ports import RootKeyStore
from services.vault.secret_bytes import SecretBytes
from shared.observability.logging import get_logger

logger = get_logger(__name__)

KNOWN_OPERATIONS = rotation.OPERATIONS | {"wrap", "unwrap", "frame"}

REFUSALS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    ((NotAuthentic, KeyRefused), "not_authentic"),
    (KeyServiceDenied, "denied"),
    (RootKeyDisabled, "disabled"),
    (KeyServiceUnavailable, "unavailable"),
    ((BadFrame, ValueError, KeyError, TypeError), "bad_request"),
)
"""How the failure of an operation is answered: the first that fits."""

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)


class KeyServer:
    """One store of root keys behind one socket. `operations` counts by (operation, outcome)."""

    def __init__(
        self,
        store: RootKeyStore,
        allowed_uids: frozenset[int],
        *,
        rotating_uids: frozenset[int] = frozenset(),
        idle_seconds: float = 30.0,
    ) -> None:
        self._store = store
        self._allowed = allowed_uids
        self._rotating = rotating_uids
        self._idle = idle_seconds
        self.operations: Counter[tuple[str, str]] = Counter()
        self._connections: set[asyncio.StreamWriter] = set()

    async def listen(self, path: Path, mode: int = 0o666) -> asyncio.Server:
        """Binds `path` (a socket left there by a crash is replaced) and starts answering."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        server = await asyncio.start_unix_server(self._serve, path=str(path))
        os.chmod(path, mode)
        return server

    def disconnect(self) -> None:
        """Closes every open connection; callers connect again."""
        for writer in list(self._connections):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            uid = peer_uid(writer)
            while True:
                async with asyncio.timeout(self._idle):
                    prefix = await reader.readexactly(LENGTH.size)
                    if prefix == health.HTTP_PREFIX:
                        await health.answer(reader, writer, self.operations)
                        return
                    answer = await self.handle(uid, await read_body(reader, prefix))
                    writer.write(encode_frame(answer))
                    await writer.drain()
                if answer.get("error") == "forbidden":
                    return
        except BadFrame:
            self._count("frame", "bad_request", uid)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass  # the peer left or fell silent; it connects again when it needs to
        finally:
            self._connections.discard(writer)
            writer.close()

    async def handle(self, uid: int, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request of a peer."""
        operation = str(message.get("operation"))[:16]
        if uid not in self._allowed and not (uid in self._rotating and operation in rotation.OPERATIONS):
            self._count(operation, "forbidden", uid)
            return {"error": "forbidden"}
        try:
            answer = await self._operate(operation, message)
        except Exception as failure:
            outcome = next((word for kind, word in REFUSALS if isinstance(failure, kind)), None)
            if outcome is None:
                raise
            self._count(operation, outcome, uid, None if outcome == "bad_request" else message)
            return {"error": outcome}
        self._count(operation, "ok", uid, message)
        return answer

    async def _operate(self, operation: str, message: dict[str, Any]) -> dict[str, Any]:
        if operation == "status":
            held = await self._store.root_keys()
            return {"primary": held.primary, "keys": list(held.ids)}
        if operation == "rewrap_secrets":
            return await rotation.rewrap_secrets(self._store, message)
        context = decode_bytes(message["context"])
        if operation == "wrap":
            key = SecretBytes(decode_bytes(message["key"]))
            return rotation.described(await self._store.wrap(key, context))
        if operation == "unwrap":
            key = await self._store.unwrap(rotation.wrapped_of(message), context)
            return {"key": encode_bytes(key.reveal())}
        if operation == "rewrap":
            return await rotation.rewrap(self._store, message)
        if operation == "make":
            return await rotation.make(self._store, message)
        raise BadFrame("no such operation")

    def _count(self, operation: str, outcome: str, uid: int, message: dict[str, Any] | None = None) -> None:
        known = operation if operation in KNOWN_OPERATIONS else "other"
        self.operations[known, outcome] += 1
        if known != "status" or outcome != "ok":
            context = describe(decode_bytes(message["context"])) if message and "context" in message else []
            if message and known == "rewrap_secrets":
                context = [str(message.get("environment"))[:80], str(message.get("scope"))[:80]]
            logger.info("key operation", operation=known, outcome=outcome, peer_uid=uid, context=context)


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """The uid of the process that connected, told by the kernel (SO_PEERCRED, unix(7))."""
    peer: socket.socket = writer.get_extra_info("socket")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def describe(context: bytes) -> list[str | int]:
    """The fields of a caller's context for the log: which environment, scope and version was asked for."""
    fields: list[str | int] = []
    while len(context) >= 4:
        (length,) = struct.unpack(">I", context[:4])
        raw, context = context[4 : 4 + length], context[4 + length :]
        fields.append(
            int.from_bytes(raw, "big")
            if len(raw) == 8 and raw[:1] == b"\0"
            else raw.decode("ascii", "replace")[:80]
        )
    return fields
