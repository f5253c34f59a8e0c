"""A store of each kind."""

from __future__ import annotations

import pytest

from tests.provisioner.simulation.ground import Ground, InMemory, InPostgres
from tests.provisioner.stage import Stage


@pytest.fixture(params=["memory", "postgres"])
async def ground(request: pytest.FixtureRequest, stage: Stage) -> Ground:
    return InMemory() if request.param == "memory" else InPostgres(stage)
