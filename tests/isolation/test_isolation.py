"""Generated from the services' OpenAPI documents: no route shows or changes anything of another workspace.

For each route of each service: the owner's own request succeeds; then the same request is made with an id of the
other customer's, and with one that never was, and both get the same bytes; nothing of the other customer has
changed. Routes, parameters and bodies without an entry here fail.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.openapi import operations
from shared.ids import new_id
from shared.web.problems import not_found
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.gateway.edge import edge
from tests.isolation import bodies
from tests.isolation.factories import FACTORIES, PREFIXES
from tests.isolation.services import ROOT, app_of, available
from tests.isolation.world import TABLE, Customer, Made, World, world

NOTHING = bytes(not_found().body)


@dataclass(frozen=True)
class Case:
    service: str
    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def thing(self) -> str | None:
        """The parameter that names something inside the workspace."""
        named = [name for name in self.parameters if name != "workspace_id"]
        assert len(named) <= 1, f"{self.name}: say in this test which id is whose"
        return named[0] if named else None

    def at(self, workspace_id: str, thing_id: str | None) -> str:
        path = self.path.replace("{workspace_id}", workspace_id)
        return path.replace("{" + self.thing + "}", thing_id or "") if self.thing else path


CASES = [
    Case(route.service, route.method, route.path)
    for route in TABLE.routes
    if "{" in route.path and route.service in available()
]


@pytest.fixture
async def stage(service_database: ServiceDatabases, trust: Trust, tmp_path: Path) -> AsyncIterator[World]:
    async with world(service_database, trust, tmp_path) as made:
        yield made


async def make(stage: World, case: Case, one: Customer) -> Made | None:
    if case.thing is None:
        return None
    factory = FACTORIES.get((case.service, case.thing))
    assert factory is not None, f"{case.service} has no factory for {case.thing} ({case.name})"
    return await factory(stage, one)


async def body_of(stage: World, case: Case, one: Customer, made: Made | None) -> Any:
    body = bodies.BODIES.get(case.name)
    return None if body is None else await body(stage, one, made)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.service} {case.name}")
async def test_a_route_keeps_to_its_own_workspace(stage: World, case: Case) -> None:
    a, b = stage.a, stage.b
    own, foreign = await make(stage, case, a), await make(stage, case, b)
    own_id, foreign_id = (made.id if made else None for made in (own, foreign))
    body = await body_of(stage, case, a, own)
    theirs = await body_of(stage, case, b, foreign)

    mine = await stage.ask(case.service, case.method, case.at(a.workspace_id, own_id), a, body)
    if case.name in bodies.NOT_ALONE:
        assert mine.status == 503, bodies.NOT_ALONE[case.name]
    else:
        assert mine.status < 300, f"the owner's own request: {mine.status} {mine.body!r}"
    for secret in (b.workspace_id, b.name, foreign_id):
        assert secret is None or secret.encode() not in mine.body

    before = await stage.fingerprint(case.service, b)
    if case.thing is not None:
        path = case.at(a.workspace_id, foreign_id)
        unknown = case.at(a.workspace_id, new_id(PREFIXES[case.thing]))
        for said in (body, theirs):
            answers = [await stage.ask(case.service, case.method, at, a, said) for at in (path, unknown)]
            assert [answer.status for answer in answers] == [404, 404]
            assert answers[0].known == answers[1].known
            assert answers[0].body == NOTHING
    if "workspace_id" in case.parameters:
        for workspace_id in (b.workspace_id, new_id("ws")):
            answer = await stage.ask(case.service, case.method, case.at(workspace_id, foreign_id), a, theirs)
            assert (answer.status, answer.body) == (404, NOTHING)
    assert await stage.fingerprint(case.service, b) == before


BODY_CASES = [(case, member) for case in CASES for member in bodies.IDS_IN_BODIES.get(case.name, {})]


@pytest.mark.parametrize(("case", "member"), BODY_CASES, ids=lambda item: getattr(item, "name", item))
async def test_an_id_in_a_body_keeps_to_its_own_workspace(stage: World, case: Case, member: str) -> None:
    factory, many = bodies.IDS_IN_BODIES[case.name][member]
    own = await make(stage, case, stage.a)
    foreign = (await factory(stage, stage.b)).id
    unknown = new_id(foreign.split("_")[0])
    before = await stage.fingerprint(case.service, stage.b)
    seen = []
    for identifier in (foreign, unknown):
        body = await body_of(stage, case, stage.a, own)
        body[member] = [identifier] if many else identifier
        path = case.at(stage.a.workspace_id, own.id if own else None)
        answer = await stage.ask(case.service, case.method, path, stage.a, body)
        assert answer.status >= 400
        seen.append((answer.status, comparable(answer.body, identifier)))
    assert seen[0] == seen[1]
    assert await stage.fingerprint(case.service, stage.b) == before


def comparable(body: bytes, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body.replace(identifier.encode(), b"ID"))
    found.pop("instance", None)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.service} {case.name}")
async def test_without_the_permission_a_route_refuses_even_the_owner(stage: World, case: Case) -> None:
    """The services' own check, should the gateway ever let somebody through."""
    if "workspace_id" not in case.parameters:
        pytest.skip("not applicable: a route of people, without permission")
    own = await make(stage, case, stage.a)
    path = case.at(stage.a.workspace_id, own.id if own else None)
    body = await body_of(stage, case, stage.a, own)
    answer = await stage.ask(case.service, case.method, path, stage.a, body, permissions=frozenset())
    assert answer.status == 403


async def test_the_gateway_answers_foreign_and_unknown_workspaces_alike_on_every_route(
    trust: Trust, tmp_path: Path
) -> None:
    """No service is running here: whoever does not belong is turned away before one is asked."""
    async with edge(trust, tmp_path, rate_limit_signed_in=100_000) as made:
        account, mine, foreign = new_id("usr"), new_id("ws"), new_id("ws")
        made.know({(account, mine): "owner", (new_id("usr"), foreign): "owner"})
        headers = {**made.person(account), "Idempotency-Key": "1"}
        for route in TABLE.routes:
            if route.access != "workspace":
                continue
            case = Case(route.service, route.method, route.path)
            thing = new_id(PREFIXES[case.thing]) if case.thing else None
            answers = [
                await made.client.request(route.method, case.at(workspace_id, thing), headers=headers)
                for workspace_id in (foreign, new_id("ws"))
            ]
            assert [answer.status_code for answer in answers] == [404, 404], case.name
            assert answers[0].content == answers[1].content == NOTHING
            inside = await made.client.request(route.method, case.at(mine, thing), headers=headers)
            assert inside.status_code == 503, case.name


async def test_every_route_of_every_service_is_among_the_cases(stage: World) -> None:
    """What a service offers and this test does not know would be untested: both lists are the same."""
    offered = {
        (service, method, path)
        for service, app in stage.apps.items()
        for method, path, _ in operations(app.openapi())
        if "{" in path
    }
    assert offered == {(case.service, case.method, case.path) for case in CASES}


async def test_every_body_is_written_down(stage: World) -> None:
    wanted = {
        f"{method} {path}"
        for app in stage.apps.values()
        for method, path, operation in operations(app.openapi())
        if "{workspace_id}" in path and "requestBody" in operation
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


def test_all_five_services_are_here() -> None:
    assert len(available()) == 5, f"only {available()} under {ROOT}"
