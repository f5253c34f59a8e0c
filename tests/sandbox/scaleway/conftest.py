"""A Scaleway of the sandbox on loopback, over real servers in a closed network."""

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import uvicorn

from sandbox.faults import Faults
from sandbox.hosts.fleet import Hosts
from sandbox.hosts.surroundings import Surroundings
from sandbox.net import AddressRange, Namespace
from sandbox.scaleway import ScalewayCloud, ScalewaySettings
from sandbox.scaleway.world import Address
from sandbox.store import Store

IMAGES = Path(__file__).parents[3] / "var/images"


@dataclass
class Names:
    """The DNS of a test: what resolves, and which reverse names were set."""

    forward: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    reverse: dict[str, str] = field(default_factory=dict)

    async def resolve(self, name: str, kind: str) -> set[str]:
        return self.forward.get((name, kind), set())

    async def set_ptr(self, address: Address, name: str | None) -> None:
        if name is None:
            self.reverse.pop(str(address), None)
        else:
            self.reverse[str(address)] = name


@dataclass
class Stage:
    """The cloud, its parts, and clients with a good key. `url` is where it listens."""

    cloud: ScalewayCloud
    hosts: Hosts
    faults: Faults
    names: Names
    settings: ScalewaySettings
    directory: Path
    url: str = ""

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        token = key or self.settings.secret_key.get_secret_value()
        transport = httpx.ASGITransport(app=self.cloud.app)
        return httpx.AsyncClient(
            transport=transport, base_url="https://cloud.test", headers={"X-Auth-Token": token}
        )

    def reopened(self) -> ScalewayCloud:
        """The same cloud as a newly started sandbox would find it on disk."""
        hosts = Hosts(
            self.hosts.directory,
            self.hosts.namespace,
            self.hosts.images,
            self.hosts.surroundings,
            log_dir=self.hosts.log_dir,
        )
        store = Store(self.directory / "scaleway.db")
        faults = Faults(quiet=True)
        names = self.names
        addresses = self.hosts.namespace.addresses
        return ScalewayCloud(store, addresses, hosts, faults, self.settings, names.set_ptr, names.resolve)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("booting servers needs root")
    directory = tmp_path_factory.mktemp("network")
    addresses = await AddressRange.claim(owner=directory)
    namespace = Namespace(f"c{os.getpid() % 10_000_000}", addresses, directory / "run")
    try:
        await namespace.up()
        yield namespace
    finally:
        await namespace.down()
        addresses.release()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(network: Namespace, tmp_path: Path) -> AsyncIterator[Stage]:
    settings = ScalewaySettings(
        secret_key=str(uuid.uuid4()),
        project_id=str(uuid.uuid4()),
        organization_id=str(uuid.uuid4()),
        quota_ips=6,
        allocating_s=0.05,
        provisioning_s=0.05,
        stopping_s=0.05,
        terminating_s=0.05,
        detaching_s=0.2,
        ipam_reverse_s=0.1,
    )
    hosts = Hosts(tmp_path / "hosts", network, IMAGES, Surroundings(), log_dir=tmp_path / "log")
    faults, names = Faults(quiet=True), Names()
    store = Store(tmp_path / "scaleway.db")
    cloud = ScalewayCloud(store, network.addresses, hosts, faults, settings, names.set_ptr, names.resolve)
    yield Stage(cloud, hosts, faults, names, settings, tmp_path)
    await cloud.stop()
    for each in hosts.all():
        await hosts.delete(each.record.id)


@pytest_asyncio.fixture(loop_scope="module")
async def listening(stage: Stage) -> AsyncIterator[Stage]:
    """The same, on a loopback port, for clients that make their own connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(stage.cloud.app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stage.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield stage
    server.should_exit = True
    await serving
