"""One world and one installed server for all modules of this folder, which one test worker runs."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.provisioner.hosts.conftest import need_real_hosts, ready_server, roots
from tests.provisioner.hosts.world import Server, World, world


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def made_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    need_real_hosts()
    async with world(tmp_path_factory.mktemp("host")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="package", scope="package")
async def server(made_world: World) -> Server:
    """Installed, with its certificate, TLSA published and one domain with two mailboxes."""
    return await ready_server(made_world, 0, "example-a.test")


@pytest.fixture
def trust(made_world: World, server: Server, tmp_path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(roots(made_world, tmp_path)))
