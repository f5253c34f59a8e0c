"""Whoever does not read holds up whoever writes, in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.identity import Trust
from tests.gateway.edge import edge, eventually, served


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_slow_reader_holds_up_the_writer_instead_of_filling_memory(
    trust: Trust, tmp_path: Path, method: str
) -> None:
    """GET: the caller does not read, the service writes without end. POST: the service does not read."""
    written = 0

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        if method == "POST":
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(30)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    name = "auth.sock" if method == "GET" else "provisioner.sock"
    limits = {"max_body_bytes": 1 << 30, "max_response_bytes": 1 << 30}
    server = await asyncio.start_unix_server(service, str(tmp_path / name))
    async with edge(trust, tmp_path, **limits) as made, served(made.gateway, tmp_path / "front.sock"):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "front.sock"), limit=65536)
        if method == "GET":
            writer.write(b"GET /v1/auth/jwks HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: written > 0)
        else:
            # The service is the provisioner here, whose webhook takes any body.
            writer.write(
                b"POST /v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
        sent = await _push(writer) if method == "POST" else 0
        assert await _comes_to_rest(lambda: written + sent) < 8 * 1024 * 1024
        writer.transport.abort()
    server.close()


async def _push(writer: asyncio.StreamWriter) -> int:
    """Writes chunks until nobody takes them any more."""
    sent = 0
    try:
        while sent < 64 * 1024 * 1024:
            writer.write(b"10000\r\n" + b"y" * 65536 + b"\r\n")
            async with asyncio.timeout(0.5):
                await writer.drain()
            sent += 65536
    except TimeoutError:
        pass
    return sent


async def _comes_to_rest(count: Callable[[], int]) -> int:
    """What the count is once it has not changed for a while."""
    before, quiet = -1, 0
    while quiet < 5 and before < 64 * 1024 * 1024:
        await asyncio.sleep(0.1)
        quiet = quiet + 1 if count() == before else 0
        before = count()
    return before
