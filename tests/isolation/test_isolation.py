"""What the matrix rests on: no route, body or service is left out, and a missing wall would be noticed.

Routes, parameters and bodies without an entry here fail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.openapi import operations
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation import bodies, expectations, publish
from tests.isolation.cases import CASES
from tests.isolation.factories import FACTORIES
from tests.isolation.services import ROOT, app_of, available
from tests.isolation.world import World, world


@pytest.fixture
async def stage(service_database: ServiceDatabases, trust: Trust, tmp_path: Path) -> AsyncIterator[World]:
    async with world(service_database, trust, tmp_path) as made:
        yield made


async def test_every_route_of_every_service_is_among_the_cases(stage: World) -> None:
    """What a service offers and this test does not know would be untested: both lists are the same."""
    offered = {
        (service, method, path)
        for service, app in stage.apps.items()
        for method, path, _ in operations(app.openapi())
    }
    assert offered == {(case.service, case.method, case.path) for case in CASES}


async def test_every_body_is_written_down(stage: World) -> None:
    wanted = {
        f"{method} {path}"
        for app in stage.apps.values()
        for method, path, operation in operations(app.openapi())
        if "requestBody" in operation
    }
    assert wanted <= set(bodies.BODIES)


async def test_the_comparison_notices_a_service_without_its_second_wall(
    service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> None:
    """An API that worked as a role that sees all rows would answer for the other customer's server."""
    async with world(service_database, trust, tmp_path) as made:
        foreign = await FACTORIES["provisioner", "server_id"](made, made.b)
        database = service_database("provisioner")
        breached = replace(database, app_url=database.worker_url)
        made.apps["provisioner"] = app = app_of("provisioner", trust, tmp_path, breached)
        path = f"/v1/workspaces/{made.a.workspace_id}/servers/"
        answers = [
            await made.ask("provisioner", "GET", path + identifier, made.a)
            for identifier in (foreign.id, new_id("srv"))
        ]
        await app.state.database.dispose()
    assert [answer.status for answer in answers] == [200, 404]


def test_the_published_matrix_is_the_one_that_is_tested() -> None:
    assert publish.published() == publish.generated(), "run: python -m tests.isolation.publish"


def test_no_expectation_is_left_of_a_route_that_is_gone() -> None:
    assert set(expectations.load()) == {case.name for case in CASES}


def test_all_five_services_are_here() -> None:
    assert len(available()) == 5, f"only {available()} under {ROOT}"
