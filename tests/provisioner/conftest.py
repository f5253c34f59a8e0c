"""A stage per test, on the module's database; and the API on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.provisioner.api import Api
from tests.provisioner.stage import Stage

TABLES = (
    "mailbox_verifier", "mailbox", "domain", "job", "step_log", "condition", "address", "cloud_resource", "server",
    "invoice", "refund", "subscription", "proven_zone", "stripe_event", "sweep_finding", "provider_gate",
    "workspace_deletion", "outbox", "inbox", "idempotency_key",
)  # fmt: skip


@pytest.fixture
async def stage(service_database: ServiceDatabases, trust: Trust) -> AsyncIterator[Stage]:
    database = service_database("provisioner")
    database.empty(TABLES)
    made = Stage.build(trust, database)
    await made.publish_prices()
    yield made
    await made.database.dispose()


@pytest.fixture
async def api(stage: Stage, service_database: ServiceDatabases, trust: Trust) -> AsyncIterator[Api]:
    made = Api.build(stage, trust, service_database("provisioner"))
    yield made
    await made.aclose()
