"""Packages from this machine's own Debian mirrors, and nothing else, through the proxy."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.hosts.apt_proxy import AptProxy
from sandbox.hosts.fleet import Hosts
from sandbox.hosts.instance import Instance
from sandbox.hosts.probe import wait_for_ssh

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]

CACHE = Path(__file__).parents[3] / "var/apt"


@pytest_asyncio.fixture(loop_scope="module")
async def server(hosts: Hosts, tmp_path: Path) -> AsyncIterator[Instance]:
    proxy = AptProxy(hosts.namespace, CACHE, tmp_path)
    await proxy.start()
    hosts.surroundings.apt_proxy = proxy.url
    addresses = hosts.namespace.addresses
    instance = await hosts.create("apt", image="stock", hostname="apt", v4=[addresses.vps_v4()[0]])
    await instance.start()
    await wait_for_ssh(str(addresses.vps_v4()[0]), 60)
    yield instance
    await hosts.delete("apt")
    await proxy.stop()


async def test_the_stock_image_installs_packages_and_reaches_nothing_else(
    hosts: Hosts, server: Instance
) -> None:
    await server.run_inside(
        ["sh", "-c", "apt-get -q update && apt-get install -y -q ethtool >/dev/null 2>&1"]
    )
    assert "ethtool" in await server.run_inside(["sh", "-c", "command -v ethtool"])
    url = hosts.surroundings.apt_proxy
    status = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-x", str(url)]
    assert await server.run_inside([*status, "http://example.com/"]) == "403"
