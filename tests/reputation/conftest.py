"""The service on a migrated database, its lists on a loopback name server, its clock standing still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from services.reputation.app import create_app
from services.reputation.bindings import BINDINGS
from services.reputation.blacklists.catalogue import load
from services.reputation.checks.checker import Checker
from services.reputation.checks.service import Pace
from services.reputation.monitor.service import Monitor
from services.reputation.providers.dns_resolver import DnsResolver
from services.reputation.settings import ApiSettings
from services.reputation.wiring import Resources
from shared.bus.testing import RecordingBus
from shared.clock import FixedClock
from shared.contracts.provisioner_events import AddressReserved
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.reputation import nameserver
from tests.reputation.nameserver import NameServer, serving

LISTS = "".join(
    f"""
[[list]]
name = "{name}"
zone = "{name}.test"
tier = {tier}
ipv6 = true
codes = {{ "127.0.0.2" = "spam" }}
delist_url = "https://{name}.test/"
"""
    for name, tier in (("one", 1), ("uno", 1), ("two", 2), ("three", 3))
)


@dataclass
class World:
    """Everything that a test of the service touches."""

    bus: RecordingBus
    monitor: Monitor
    clock: FixedClock
    dns: NameServer

    def list_address(self, *names: str) -> None:
        for name in names:
            self.dns.zones[f"{name}.test"] = nameserver.sound("127.0.0.2")

    def clear(self, *names: str) -> None:
        for name in names:
            self.dns.zones[f"{name}.test"] = nameserver.sound()

    def silence(self, *names: str) -> None:
        for name in names:
            self.dns.zones[f"{name}.test"] = nameserver.failing("SERVFAIL")


@pytest.fixture
def lists_file(tmp_path: Path) -> Path:
    path = tmp_path / "lists.toml"
    path.write_text(LISTS)
    return path


@pytest.fixture
async def world(service_database: ServiceDatabases, lists_file: Path) -> AsyncIterator[World]:
    database = Database(service_database("reputation").worker_url)
    clock = FixedClock(datetime.now(UTC))
    names = ("one", "uno", "two", "three")
    async with serving({f"{name}.test": nameserver.sound() for name in names}) as server:
        checker = Checker(
            load(lists_file, {}),
            DnsResolver([server.address], timeout=0.3),
            monotonic=lambda: clock.now().timestamp(),
        )
        resources = Resources(checker, clock, Pace(monitor=3600, confirm=300, unknown_retry=20))
        bus = RecordingBus(database, BINDINGS, resources)
        yield World(bus, Monitor(database, resources), clock, server)
    await database.dispose()


@pytest.fixture
async def client(
    service_database: ServiceDatabases, trust: Trust, lists_file: Path
) -> AsyncIterator[httpx.AsyncClient]:
    settings = trust.settings(
        ApiSettings, "reputation", "api", service_database("reputation"), blacklists_file=lists_file
    )
    app = create_app(settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://reputation") as made:
        yield made
    await app.state.database.dispose()


@pytest.fixture
def reserved() -> AddressReserved:
    return AddressReserved(
        workspace_id=new_id("ws"),
        server_id=new_id("srv"),
        address_id=new_id("adr"),
        address="198.51.100.20",
        family=4,
        attempt=1,
    )
