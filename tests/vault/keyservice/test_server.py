"""The key service's socket: who is answered, and what a caller can get out of it."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.vault.errors import KeyRefused, KeyServiceDenied, KeyServiceUnavailable
from services.vault.keyservice import protocol
from services.vault.keyservice.keyring import Keyring, new_root_key
from services.vault.keyservice.root_keys import KeyringStore
from services.vault.keyservice.server import KeyServer, describe
from services.vault.ports import KeyContext, WrappedKey
from services.vault.providers.local_key_service import LocalKeyService
from services.vault.secret_bytes import SecretBytes

CONTEXT = KeyContext("test", "ws_a", 1)
DATA_KEY = SecretBytes(bytes(range(32)))


@pytest.fixture
def server() -> KeyServer:
    root = new_root_key(datetime.now(UTC))
    return KeyServer(KeyringStore(Keyring((root,), root.id)), frozenset({os.geteuid()}), idle_seconds=0.5)


@pytest.fixture
async def path(server: KeyServer, tmp_path: Path) -> AsyncIterator[Path]:
    listening = await server.listen(tmp_path / "k.sock")
    yield tmp_path / "k.sock"
    listening.close()
    server.disconnect()


async def exchange(path: Path, raw: bytes) -> bytes:
    """Sends bytes and reads to the end."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(raw)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def ask(path: Path, message: dict[str, Any]) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(protocol.encode_frame(message))
        return await protocol.read_body(reader, await reader.readexactly(4))
    finally:
        writer.close()


async def test_a_wrapped_key_comes_back_for_its_own_context_only(path: Path) -> None:
    service = LocalKeyService(path)
    wrapped = await service.wrap(DATA_KEY, CONTEXT)
    assert DATA_KEY.reveal() not in wrapped.ciphertext
    assert await service.unwrap(wrapped, CONTEXT) == DATA_KEY
    for other in (
        KeyContext("production", "ws_a", 1),
        KeyContext("test", "ws_b", 1),
        KeyContext("test", "ws_a", 2),
    ):
        with pytest.raises(KeyRefused):
            await service.unwrap(wrapped, other)
    with pytest.raises(KeyRefused):
        await service.unwrap(WrappedKey("rk_unknown", wrapped.ciphertext), CONTEXT)


async def test_check_passes_while_it_answers(path: Path) -> None:
    await LocalKeyService(path).check()


async def test_nobody_listening_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(KeyServiceUnavailable):
        await LocalKeyService(tmp_path / "nobody.sock").check()


async def test_a_silent_service_is_unavailable_after_the_timeout(tmp_path: Path) -> None:
    silent = await asyncio.start_unix_server(lambda *_: asyncio.sleep(5), path=str(tmp_path / "s"))
    with pytest.raises(KeyServiceUnavailable):
        await LocalKeyService(tmp_path / "s", timeout_seconds=0.05).check()
    silent.close()


@pytest.mark.parametrize(
    "answer", [b"", b"\0\0", struct.pack(">I", 5) + b"nojso", struct.pack(">I", 2) + b"[]"]
)
async def test_a_service_that_talks_nonsense_is_unavailable(tmp_path: Path, answer: bytes) -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(nonsense, path=str(tmp_path / "s"))
    with pytest.raises(KeyServiceUnavailable):
        await LocalKeyService(tmp_path / "s").check()
    server.close()


async def test_a_uid_that_is_not_listed_gets_nothing(server: KeyServer) -> None:
    for operation in ("status", "wrap", "unwrap", "anything"):
        assert await server.handle(os.geteuid() + 1, {"operation": operation}) == {"error": "forbidden"}
    assert server.operations["wrap", "forbidden"] == 1
    assert server.operations["other", "forbidden"] == 1


async def test_a_forbidden_peer_is_hung_up_on(tmp_path: Path) -> None:
    root = new_root_key(datetime.now(UTC))
    server = KeyServer(KeyringStore(Keyring((root,), root.id)), frozenset({os.geteuid() + 1}))
    listening = await server.listen(tmp_path / "k.sock")
    frame = protocol.encode_frame({"operation": "status"})
    answer = await exchange(tmp_path / "k.sock", frame + frame)
    assert answer == protocol.encode_frame({"error": "forbidden"})
    with pytest.raises(KeyServiceDenied):
        await LocalKeyService(tmp_path / "k.sock").check()
    listening.close()


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"operation": "export"},
        {"operation": "wrap"},
        {"operation": "wrap", "context": "", "key": "AAAA"},
        {"operation": "wrap", "context": "??", "key": "AAAA"},
        {"operation": "wrap", "context": 7, "key": None},
        {"operation": "unwrap", "context": ""},
    ],
)
async def test_a_bad_request_is_answered_as_such(path: Path, message: dict[str, Any]) -> None:
    assert await ask(path, message) == {"error": "bad_request"}


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">I", protocol.LARGEST_FRAME + 1) + b"x" * 100,
        b"\xff\xff\xff\xff",
        struct.pack(">I", 3) + b"{,}",
        struct.pack(">I", 2) + b"17",
    ],
)
async def test_a_bad_frame_ends_the_connection(path: Path, server: KeyServer, raw: bytes) -> None:
    assert await exchange(path, raw) == b""
    assert server.operations["frame", "bad_request"] == 1
    await LocalKeyService(path).check()


async def test_a_peer_that_stops_in_the_middle_is_dropped(path: Path) -> None:
    assert await exchange(path, b"\0\0") == b""
    await LocalKeyService(path).check()


async def test_one_connection_may_ask_many_times(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    for _ in range(3):
        writer.write(protocol.encode_frame({"operation": "status"}))
        assert "primary" in await protocol.read_body(reader, await reader.readexactly(4))
    writer.close()


@pytest.mark.parametrize(
    ("target", "status"),
    [("/healthz", "200"), ("/readyz?x=1", "200"), ("/metrics", "200"), ("/keys", "404"), ("/", "404")],
)
async def test_health_pages_are_on_the_same_socket(path: Path, target: str, status: str) -> None:
    answer = (await exchange(path, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    head, body = answer.split("\r\n\r\n", 1)
    assert f"Content-Length: {len(body)}" in head
    assert "rk_" not in body


async def test_metrics_count_by_operation_and_outcome(path: Path) -> None:
    service = LocalKeyService(path)
    await service.wrap(DATA_KEY, CONTEXT)
    answer = (await exchange(path, b"GET /metrics HTTP/1.1\r\n\r\n")).decode()
    assert 'sendchief_keyservice_operations_total{operation="wrap",outcome="ok"} 1' in answer


async def test_an_endless_health_request_is_dropped(path: Path) -> None:
    assert await exchange(path, b"GET /" + b"x" * 100_000) == b""


async def test_the_log_names_the_scope_and_no_material(path: Path) -> None:
    wrapped = await LocalKeyService(path).wrap(DATA_KEY, CONTEXT)
    with capture_logs() as lines:
        await LocalKeyService(path).unwrap(wrapped, CONTEXT)
    assert [line["context"][2] for line in lines] == ["ws_a"]
    for material in (DATA_KEY.reveal(), wrapped.ciphertext):
        assert protocol.encode_bytes(material) not in str(lines)
        assert material.hex() not in str(lines)


def test_a_context_is_described_field_by_field() -> None:
    assert describe(KeyContext("test", "ws_a", 7).encode()) == ["sc.vault.data-key.v1", "test", "ws_a", 7]
    assert describe(b"\0\0") == []


async def test_a_socket_left_by_a_crash_is_replaced(server: KeyServer, tmp_path: Path) -> None:
    path = tmp_path / "k.sock"
    first = await server.listen(path)
    first.close()
    again = await server.listen(path, 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()
