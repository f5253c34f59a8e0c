"""A stage per test, on the module's database; the API on it, and callers in two workspaces."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from services.dns.app import create_app
from services.dns.bindings import BINDINGS
from services.dns.settings import ApiSettings, WorkerSettings
from services.dns.wiring import assemble
from shared.bus.testing import RecordingBus
from shared.clock import FixedClock
from shared.db.database import Database
from shared.ids import new_id
from tests.dns.caller import Caller
from tests.dns.doubles import MemoryEyes, MemoryVault, World
from tests.dns.samples import PLATFORM_ZONE
from tests.dns.stage import PLATFORM_TOKEN, START, Stage
from tests.fixtures.database import ServiceDatabase, ServiceDatabases
from tests.fixtures.identity import Trust


@pytest.fixture(scope="module")
def dns_database(service_database: ServiceDatabases) -> ServiceDatabase:
    return service_database("dns")


@pytest.fixture
async def stage(dns_database: ServiceDatabase, trust: Trust) -> AsyncIterator[Stage]:
    settings = trust.settings(
        WorkerSettings, "dns", "worker", dns_database,
        platform_zone=PLATFORM_ZONE, platform_zone_token=PLATFORM_TOKEN, caa_issuers=("ca.net",),
    )  # fmt: skip
    world, clock = World(), FixedClock(START)
    platform = world.zone(PLATFORM_ZONE, PLATFORM_TOKEN)
    database = Database(dns_database.worker_url)
    resources = assemble(settings, database, MemoryEyes(world), world.account, MemoryVault(world), clock)
    yield Stage(world, database, clock, resources, RecordingBus(database, BINDINGS, resources), platform)
    await database.dispose()
    dns_database.postgres.psql(
        "do $$ declare name text; begin for name in select tablename from pg_tables where schemaname = 'public' "
        "and tablename not in ('alembic_version', 'audit_entry') loop execute format('delete from %I', name); "
        "end loop; end $$; set session_replication_role = replica; delete from audit_entry;",
        dns_database.name,
    )


@pytest.fixture
def api(dns_database: ServiceDatabase, trust: Trust, stage: Stage) -> FastAPI:
    settings = trust.settings(ApiSettings, "dns", "api", dns_database, platform_zone=PLATFORM_ZONE)
    return create_app(settings, stage.clock)


@pytest.fixture
async def client(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=api)
    async with httpx.AsyncClient(transport=transport, base_url="http://dns") as made:
        yield made
    await api.state.database.dispose()


@pytest.fixture
def owner(client: httpx.AsyncClient, trust: Trust) -> Caller:
    return Caller(client, trust, new_id("ws"))


@pytest.fixture
def stranger(client: httpx.AsyncClient, trust: Trust) -> Caller:
    return Caller(client, trust, new_id("ws"))
