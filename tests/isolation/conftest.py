"""The stage of a module: gateway, services and databases, put up once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.stage import Stage, stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(
    service_database: ServiceDatabases, trust: Trust, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    directory: Path = tmp_path_factory.mktemp("stage")
    async with stage(service_database, trust, directory) as made:
        yield made
