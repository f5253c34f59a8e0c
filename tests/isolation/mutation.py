"""Does the matrix notice? Each protection is taken away, one after the other, and its rows must go red.

What is taken away ("mutants"):

- lines of `gateway/permissions.toml`: a role more or a role less, the scope gone or open to every key, no step-up, a
  route for everybody. What the gateway refuses to start with is caught there and then;
- the services' own check of a permission;
- row security: the policies of one table let everything through;
- `….workspace_id == …` in the services' code: under messages that carry another customer's ids, and, for what people
  ask, with row security lifted, so that the condition stands alone.

Everything happens in this process on real databases, and is put back before the next.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest.mock import patch

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.routes import BadTable, Route, RouteTable
from shared.web.access import RequiresPermission
from tests.isolation import expectations, messages
from tests.isolation.cases import CASES, TABLE, Case
from tests.isolation.elsewhere import check_elsewhere
from tests.isolation.lists import LISTED
from tests.isolation.matrix import check, check_second_check, check_second_wall
from tests.isolation.services import ROOT, available
from tests.isolation.stage import Stage

Verdict = str | None
"""What noticed the mutant; None: nothing did, it survived."""


@dataclass(frozen=True)
class Mutant:
    name: str
    run: Callable[[Stage], Awaitable[Verdict]]


# -- the permission table ----------------------------------------------------------------------------------------


def of_the_table() -> Iterator[Mutant]:
    for route in TABLE.routes:
        for what, changes in _changes(route):
            yield Mutant(f"permissions.toml {route.method} {route.path}: {what}", _with_table(route, changes))


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
            return await _red(stage, _case(route), check)

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
            yield Mutant(f"{case.service} {case.name}: no check of the permission", _without_check(case))


def _without_check(case: Case) -> Callable[[Stage], Awaitable[Verdict]]:
    permission = next(route.permission for route in TABLE.routes if _case(route) == case)

    async def run(stage: Stage) -> Verdict:
        real = RequiresPermission.__call__

        async def lenient(self: RequiresPermission, request: Any) -> None:
            here = request.method == case.method and request.scope["route"].path_format == case.path
            if not (here and self.permission == permission):
                await real(self, request)

        with patch.object(RequiresPermission, "__call__", lenient):
            return await _red(stage, case, check_second_check)

    return run


# -- row security ------------------------------------------------------------------------------------------------


async def of_row_security(stage: Stage) -> list[Mutant]:
    found = []
    for service in available():
        found += [
            Mutant(f"{service}: no row security on {table}", _without_policy(service, table))
            for table in await _protected(stage, service)
        ]
    return found


async def _protected(stage: Stage, service: str) -> list[str]:
    async with _owner(stage, service) as connection:
        tables = await connection.execute(_PROTECTED, {"role": f"{service}_app"})
        return list(tables.scalars())


_PROTECTED = text(
    "select distinct tablename from pg_policies where schemaname = 'public' and cast(:role as name) = any(roles) "
    "order by 1"
)


def _without_policy(service: str, table: str) -> Callable[[Stage], Awaitable[Verdict]]:
    async def run(stage: Stage) -> Verdict:
        async with row_security_lifted(stage, service, table):
            for case in CASES:
                if case.service == service and case.parameters:
                    verdict = await _red(stage, case, check_second_wall)
                    if verdict is None and case.name in LISTED:
                        verdict = await _red(stage, case, check_elsewhere)
                    if verdict is not None:
                        return verdict
        return None

    return run


@asynccontextmanager
async def row_security_lifted(stage: Stage, service: str, table: str) -> AsyncIterator[None]:
    app, open_policy = f"{service}_app", f"mutant_{table}"
    async with _owner(stage, service) as connection:
        await connection.execute(
            text(f"create policy {open_policy} on {table} to {app} using (true) with check (true)")
        )
    try:
        yield
    finally:
        async with _owner(stage, service) as connection:
            await connection.execute(text(f"drop policy {open_policy} on {table}"))


@asynccontextmanager
async def _owner(stage: Stage, service: str) -> AsyncIterator[Any]:
    engine = create_async_engine(stage.world.owner_urls[service])
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


# -- conditions in statements ------------------------------------------------------------------------------------


def of_conditions() -> Iterator[Mutant]:
    for service in available():
        for file in sorted((ROOT / "services" / service).rglob("*.py")):
            if "migrations" in file.parts:
                continue
            for function, number, line in _conditions(file):
                where = f"{file.relative_to(ROOT)}:{line}"
                yield Mutant(
                    f"{where} {function}: a workspace condition less",
                    _without_condition(file, function, number, service),
                )


class _Conditions(ast.NodeTransformer):
    """Finds `x.workspace_id == y` and `!=`, and replaces one of them by what always holds."""

    def __init__(self, replace: int | None = None) -> None:
        self.lines: list[int] = []
        self._replace = replace

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        sides = (node.left, *node.comparators)
        named = any(isinstance(side, ast.Attribute) and side.attr == "workspace_id" for side in sides)
        if not named or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            return node
        self.lines.append(node.lineno)
        if self._replace != len(self.lines) - 1:
            return node
        if isinstance(node.ops[0], ast.NotEq):
            return ast.copy_location(ast.Constant(False), node)
        always = ast.parse("__import__('sqlalchemy').true()", mode="eval").body
        for inner in ast.walk(always):
            ast.copy_location(inner, node)
        return always


def _conditions(file: Path) -> Iterator[tuple[str, int, int]]:
    """(qualified name of the function, number of the condition in it, line)."""
    tree = ast.parse(file.read_text("utf-8"))
    holders = [("", tree), *((node.name + ".", node) for node in tree.body if isinstance(node, ast.ClassDef))]
    for prefix, holder in holders:
        for node in holder.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                finder = _Conditions()
                finder.visit(node)
                for number, line in enumerate(finder.lines):
                    yield prefix + node.name, number, line


def _without_condition(
    file: Path, name: str, number: int, service: str
) -> Callable[[Stage], Awaitable[Verdict]]:
    async def run(stage: Stage) -> Verdict:
        module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
        function: Any = module
        for part in name.split("."):
            function = getattr(function, part)
        with mutated(inspect.unwrap(function), number):
            for binding in messages.BY_ID:
                if binding.service == service:
                    wrong = await messages.check(stage.world, binding)
                    if wrong:
                        return f"{binding.queue} {binding.event.type}: {wrong[0]}"
        return await _alone(
            stage, service, file.parent.name, lambda: mutated(inspect.unwrap(function), number)
        )

    return run


async def _alone(
    stage: Stage, service: str, feature: str, mutant: Callable[[], AbstractContextManager[None]]
) -> Verdict:
    """The feature's routes without row security: those that hold by their conditions alone show whether one is gone."""
    word = feature.replace("_", "-")
    named = [case for case in CASES if case.service == service and f"/{word}" in case.path]
    cases = [case for case in named or CASES if case.service == service and case.of_workspace]
    async with AsyncExitStack() as lifted:
        for table in await _protected(stage, service):
            await lifted.enter_async_context(row_security_lifted(stage, service, table))
        for case in cases:
            row = check_elsewhere if case.name in LISTED else check
            if case.thing is None and case.name not in LISTED:
                continue
            if await _red(stage, case, row) is None:
                with mutant():
                    verdict = await _red(stage, case, row)
                if verdict is not None:
                    return verdict
    return None


@contextmanager
def mutated(function: FunctionType, number: int) -> Iterator[None]:
    """The function with another body, wherever it is held by now."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    _Conditions(number).visit(tree)
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    node.decorator_list = []
    space: dict[str, Any] = {}
    header = ast.parse("from __future__ import annotations").body
    module = ast.fix_missing_locations(ast.Module([*header, node], []))
    exec(compile(module, f"<mutant of {function.__qualname__}>", "exec"), function.__globals__.copy(), space)  # noqa: S102
    real = function.__code__
    function.__code__ = space[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = real


async def _red(stage: Stage, case: Case, row: Callable[..., Awaitable[list[str]]]) -> Verdict:
    wrong = await row(stage, case, expectations.of(case, expectations.load()))
    return f"{case.name}: {wrong[0]}" if wrong else None


def of_the_first_wall() -> list[Mutant]:
    return [*of_the_table(), *of_the_services()]


async def all_mutants(stage: Stage) -> list[Mutant]:
    return [*of_the_first_wall(), *await of_row_security(stage), *of_conditions()]
