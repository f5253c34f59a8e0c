"""Every route, asked by every kind of principal about own, foreign and unknown things, as `expected.csv` says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation import expectations
from tests.isolation.cases import CASES, Case
from tests.isolation.matrix import check, check_second_wall
from tests.isolation.stage import Stage, stage

EXPECTED = expectations.load()
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(
    service_database: ServiceDatabases, trust: Trust, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    directory: Path = tmp_path_factory.mktemp("stage")
    async with stage(service_database, trust, directory) as made:
        yield made


@pytest.mark.asvs("8.2.2", "8.4.1")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_principal_gets_what_is_expected_and_nothing_of_others(whole: Stage, case: Case) -> None:
    wrong = await check(whole, case, expectations.of(case, EXPECTED))
    assert not wrong, "\n".join([case.name, *wrong])


@pytest.mark.asvs("8.4.1")
@pytest.mark.parametrize("case", [case for case in CASES if case.parameters], ids=lambda case: case.name)
async def test_with_every_authorization_check_gone_row_security_gives_nothing(
    whole: Stage, case: Case
) -> None:
    wrong = await check_second_wall(whole, case, expectations.of(case, EXPECTED))
    assert not wrong, "\n".join([case.name, *wrong])
