"""Every route, asked by every kind of principal about own, foreign and unknown things, as `expected.csv` says."""

from __future__ import annotations

import pytest

from gateway.openapi import operations
from tests.isolation import expectations
from tests.isolation.cases import CASES, Case
from tests.isolation.elsewhere import check_elsewhere
from tests.isolation.lists import LISTED
from tests.isolation.matrix import check, check_second_check, check_second_wall
from tests.isolation.stage import Stage

EXPECTED = expectations.load()
pytestmark = pytest.mark.asyncio(loop_scope="module")


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


@pytest.mark.asvs("8.3.1")
@pytest.mark.parametrize("case", [case for case in CASES if case.of_workspace], ids=lambda case: case.name)
async def test_without_the_permission_the_service_refuses_even_the_owner(whole: Stage, case: Case) -> None:
    assert not await check_second_check(whole, case, expectations.of(case, EXPECTED))


@pytest.mark.parametrize("case", [case for case in CASES if case.of_workspace], ids=lambda case: case.name)
async def test_ids_of_others_outside_of_the_path_open_nothing(whole: Stage, case: Case) -> None:
    wrong = await check_elsewhere(whole, case, expectations.of(case, EXPECTED))
    assert not wrong, "\n".join([case.name, *wrong])


async def test_every_list_of_a_workspace_is_among_those_with_cursors(whole: Stage) -> None:
    """A list that is not there has no test that it keeps to its own workspace: give it a factory in `LISTED`."""
    lists = {
        f"{method} {path}"
        for app in whole.world.apps.values()
        for method, path, operation in operations(app.openapi())
        if path.count("{") == 1
        and "{workspace_id}" in path
        and any(item["name"] == "cursor" for item in operation.get("parameters", ()))
    }
    assert lists == set(LISTED)
