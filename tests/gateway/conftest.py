"""The gateway with one echo behind it, as auth and as provisioner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, Edge, edge, served


@pytest.fixture
async def stage(trust: Trust, tmp_path: Path) -> AsyncIterator[tuple[Edge, Echo]]:
    echo = Echo()
    async with (
        served(echo, tmp_path / "auth.sock"),
        served(echo, tmp_path / "provisioner.sock"),
        edge(trust, tmp_path) as made,
    ):
        yield made, echo
