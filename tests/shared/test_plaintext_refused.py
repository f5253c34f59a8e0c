"""Whatever goes over a network is encrypted, or it does not go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from infra.local.pki import Authority
from shared.bus.connection import PlaintextRefused, connect
from shared.bus.relay import asyncpg_arguments
from shared.db.database import Database, tls_arguments

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


class PlainServer:
    """A PostgreSQL that offers no TLS, as far as anybody gets with it."""

    def __init__(self) -> None:
        self.said = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.said += await reader.read(8)
        writer.write(b"N")
        self.said += await reader.read(1024)
        writer.close()


@pytest.mark.parametrize("way", ["pool", "single connection"])
async def test_a_database_without_tls_is_told_nothing(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", str(Authority(tmp_path, "test").certificate_file))
    plain = PlainServer()
    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"postgresql+asyncpg://auth_app:very-secret@127.0.0.1:{port}/sc_auth"
    database = Database(url)
    try:
        with pytest.raises(OSError, match=r"rejected SSL|does not answer"):
            await (database.ping() if way == "pool" else asyncpg.connect(**asyncpg_arguments(url)))
    finally:
        await database.dispose()
        server.close()
    assert plain.said == SSL_REQUEST


def test_a_database_on_a_socket_needs_no_tls() -> None:
    assert tls_arguments("postgresql+asyncpg://a:b@/c?host=/run/postgresql") == {}
    assert tls_arguments("postgresql+asyncpg://a:b@db.example.test/c") == {"ssl": "verify-full"}
    assert tls_arguments("postgresql+asyncpg://a:b@/c") == {"ssl": "verify-full"}


async def test_a_broker_elsewhere_is_not_spoken_to_without_tls() -> None:
    with pytest.raises(PlaintextRefused, match="amqps"):
        await connect(SecretStr("amqp://auth:very-secret@192.0.2.1:5672/"), None, name="test")
