"""Does the matrix notice? Each protection is taken away, one after the other, and its rows must go red.

What is taken away ("mutants"):

- lines of `gateway/permissions.toml`: a role more or a role less, the scope gone or open to every key, no step-up, a
  route for everybody. What the gateway refuses to start with is caught there and then;
- the services' own check of a permission;
- row security: the policies of one table let everything through, and the API's role in a stranger's context finds it;
- `….workspace_id == …` in the services' code: `conditions.py`.

Everything happens in this process on real databases, and is put back before the next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from unittest.mock import patch

from pydantic import ValidationError

from gateway.routes import BadTable, Route, RouteTable
from shared.web.access import RequiresPermission
from tests.fixtures import rows
from tests.isolation.cases import CASES, TABLE, Case
from tests.isolation.conditions import of_conditions
from tests.isolation.lifted import Verdict, protected, red, row_security_lifted
from tests.isolation.matrix import check, check_second_check
from tests.isolation.services import available
from tests.isolation.stage import Stage


@dataclass(frozen=True)
class Mutant:
    wall: Literal["first", "condition", "row security"]
    name: str
    run: Callable[[Stage], Awaitable[Verdict]]


# -- the permission table ----------------------------------------------------------------------------------------


def of_the_table() -> Iterator[Mutant]:
    for route in TABLE.routes:
        for what, changes in _changes(route):
            yield Mutant(
                "first", f"permissions.toml {route.method} {route.path}: {what}", _with_table(route, changes)
            )


def _changes(route: Route) -> Iterator[tuple[str, dict[str, Any]]]:
    if route.access == "signed_in":
        yield "for everybody", {"access": "public"}
    if route.permission is None:
        return
    yield "no permission", {"permission": None}
    for role in ("owner", "admin", "member"):
        if role in route.roles:
            yield f"not for {role}", {"roles": route.roles - {role}}
        else:
            yield f"also for {role}", {"roles": route.roles | {role}}
    if route.scope != "any":
        yield "for every key", {"scope": "any", "step_up": None}
    if route.scope is not None:
        yield "for no key", {"scope": None}
    if route.step_up is not None:
        yield "no step-up", {"step_up": None}


def _with_table(route: Route, changes: dict[str, Any]) -> Callable[[Stage], Awaitable[Verdict]]:
    async def run(stage: Stage) -> Verdict:
        try:
            table = RouteTable(_changed(one, route, changes) for one in TABLE.routes)
        except (ValidationError, BadTable) as error:
            return f"the gateway does not start: {str(error).splitlines()[0]}"
        gateway = stage.gateway
        minter = gateway.pipeline._minter
        with patch.object(gateway.pipeline, "table", table), patch.object(minter, "_table", table):
            return await red(stage, _case(route), check)

    return run


def _changed(one: Route, route: Route, changes: dict[str, Any]) -> Route:
    """Roles belong to a permission wherever it stands, else the table would contradict itself."""
    same_line = one is route
    same_permission = one.permission is not None and one.permission == route.permission
    if same_line or (same_permission and "roles" in changes):
        return Route.model_validate({**one.model_dump(), **changes})
    return one


def _case(route: Route) -> Case:
    return Case(route.service, route.method, route.path)


# -- the services' own check -------------------------------------------------------------------------------------


def of_the_services() -> Iterator[Mutant]:
    for case in CASES:
        if case.of_workspace:
            yield Mutant(
                "first", f"{case.service} {case.name}: no check of the permission", _without_check(case)
            )


def _without_check(case: Case) -> Callable[[Stage], Awaitable[Verdict]]:
    permission = next(route.permission for route in TABLE.routes if _case(route) == case)

    async def run(stage: Stage) -> Verdict:
        real = RequiresPermission.__call__

        async def lenient(self: RequiresPermission, request: Any) -> None:
            here = request.method == case.method and request.scope["route"].path_format == case.path
            if not (here and self.permission == permission):
                await real(self, request)

        with patch.object(RequiresPermission, "__call__", lenient):
            return await red(stage, case, check_second_check)

    return run


# -- row security ------------------------------------------------------------------------------------------------


async def of_row_security(stage: Stage) -> list[Mutant]:
    return [
        Mutant("row security", f"{service}: no row security on {table}", _without_policy(service, table))
        for service in available()
        for table in await protected(stage, service)
    ]


def _without_policy(service: str, table: str) -> Callable[[Stage], Awaitable[Verdict]]:
    async def run(stage: Stage) -> Verdict:
        database = stage.world.migrated[service]
        await rows.add(database.superuser_url(), table)
        async with row_security_lifted(stage, service, [table]):
            wrong = await rows.seen_by_a_stranger(database.app_url, table)
        return wrong[0] if wrong else None

    return run


# -- together ----------------------------------------------------------------------------------------------------


async def all_mutants(stage: Stage) -> list[Mutant]:
    conditions = [Mutant("condition", name, run) for name, run in of_conditions()]
    return [*of_the_table(), *of_the_services(), *conditions, *await of_row_security(stage)]
