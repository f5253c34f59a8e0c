"""A small outside world per test module: network, daemons and a place for the vendors' HTTPS servers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.infrastructure import Infrastructure
from sandbox.net import NoRangeFree
from sandbox.serve import HttpServers
from sandbox.settings import SandboxSettings
from sandbox.tls import Authority

RANGE_WAIT_SECONDS = 120


async def until(probe: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> None:
    """Poll until `probe` is true. Raises AssertionError after `seconds`."""
    for _ in range(int(seconds / 0.05)):
        if await probe():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not true within {seconds:g} s")


async def claim(settings: SandboxSettings) -> Infrastructure:
    """A world, waiting for an address range that another test run still holds."""
    for _ in range(RANGE_WAIT_SECONDS):
        try:
            return await Infrastructure.claim(settings)
        except NoRangeFree:
            await asyncio.sleep(1)
    return await Infrastructure.claim(settings)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Infrastructure]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    settings = SandboxSettings(tmp_path_factory.mktemp("world"), f"w{os.getpid() % 10_000_000}")
    made = await claim(settings)
    try:
        await made.start(lambda _text: None)
        yield made
    finally:
        await made.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def https(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[HttpServers, Path]]:
    """HTTPS on free ports of 127.0.0.1 and the CA file that its clients trust."""
    directory = tmp_path_factory.mktemp("https")
    authority = Authority(directory / "tls")
    servers = HttpServers(directory, authority.issue("https", names=["localhost"], addresses=["127.0.0.1"]))
    yield servers, authority.ca_file
    await servers.stop()
