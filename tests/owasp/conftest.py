from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.owasp.front import Front, front


@pytest.fixture
async def stage(service_database: ServiceDatabases, trust: Trust, tmp_path: Path) -> AsyncIterator[Front]:
    async with front(service_database, trust, tmp_path) as opened:
        yield opened
