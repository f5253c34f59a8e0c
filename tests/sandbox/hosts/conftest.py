"""One closed network with Debian servers for all tests of a module."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.hosts.fleet import Hosts
from sandbox.hosts.surroundings import Surroundings
from sandbox.net import AddressRange, Namespace

IMAGES = Path(__file__).parents[3] / "var/images"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hosts]:
    if os.geteuid() != 0:
        pytest.skip("booting servers needs root")
    directory = tmp_path_factory.mktemp("hosts")
    name = f"h{os.getpid() % 10_000_000}"
    addresses = await AddressRange.claim(owner=directory)
    namespace = Namespace(name, addresses, directory / "run")
    try:
        await namespace.up()
        made = Hosts(directory / "hosts", namespace, IMAGES, Surroundings(), log_dir=directory / "log")
        yield made
        for each in made.all():
            await made.delete(each.record.id)
    finally:
        await namespace.down()
        addresses.release()
