"""The API process: its socket, its answer, its end."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.identity import Trust
from tests.fixtures.run import ROOT


@pytest.fixture
async def process(trust: Trust, tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    socket = tmp_path / "api.sock"
    socket.touch()  # left over from a crash
    environment = {
        "PATH": os.environ["PATH"],
        "SC_SERVICE": "dns",
        "SC_ROLE": "api",
        "SC_SOCKET": str(socket),
        "SC_SOCKET_MODE": "0660",
        "SC_IDENTITY_TRUST_DIR": str(trust.directory),
        "SC_DATABASE_URL": "postgresql+asyncpg://nobody@/none?host=/nonexistent",
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shared.web.serve", "tests.shared.web.sample_app", cwd=ROOT, env=environment
    )
    async with asyncio.timeout(60):
        while not (socket.is_socket() and await _answers(socket)):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
    yield started, socket
    if started.returncode is None:
        started.kill()
        await started.wait()


async def _answers(socket: Path) -> bool:
    try:
        return (await get(socket, "/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def get(socket: Path, path: str) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://dns", timeout=10) as client:
        return await client.get(path)


async def test_the_socket_has_the_mode_of_the_settings(
    process: tuple[asyncio.subprocess.Process, Path],
) -> None:
    assert stat.S_IMODE(process[1].stat().st_mode) == 0o660


async def test_what_serves_does_not_name_itself(process: tuple[asyncio.subprocess.Process, Path]) -> None:
    assert "server" not in (await get(process[1], "/healthz")).headers


async def test_a_request_at_work_is_finished_before_the_end(
    process: tuple[asyncio.subprocess.Process, Path],
) -> None:
    server, socket = process
    request = asyncio.create_task(get(socket, "/v1/slow"))
    await asyncio.sleep(0.3)
    server.send_signal(signal.SIGTERM)
    assert (await request).json() == "finished"
    assert await asyncio.wait_for(server.wait(), 10) == 0
    assert not socket.exists()
