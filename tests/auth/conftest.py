from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.auth.stage import Stage, staged
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust


@pytest.fixture
async def auth(service_database: ServiceDatabases, trust: Trust, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(service_database("auth"), trust, tmp_path) as stage:
        yield stage
