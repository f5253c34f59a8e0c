"""`….workspace_id == …` in the services' code, taken away one after the other.

Rows are messages that carry another customer's ids, and what people ask, with row security lifted, so that the
condition stands alone. Each row is run once as it is: that shows whether it holds then, and which functions it comes
through; a mutant is shown to the rows that come through its function.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from shared.bus.binding import Binding
from shared.contracts.provisioner_events import ServerReady
from tests.isolation import messages
from tests.isolation.cases import CASES
from tests.isolation.elsewhere import ACROSS, check_elsewhere
from tests.isolation.lifted import Verdict, protected, red, row_security_lifted
from tests.isolation.lists import LISTED
from tests.isolation.matrix import check
from tests.isolation.services import ROOT, available
from tests.isolation.stage import Stage

Run = Callable[[Stage], Awaitable[Verdict]]


def of_conditions() -> Iterator[tuple[str, Run]]:
    for service in available():
        for file in sorted((ROOT / "services" / service).rglob("*.py")):
            if "migrations" in file.parts:
                continue
            for function, number, line in _conditions(file):
                where = f"{file.relative_to(ROOT)}:{line}"
                name = f"{where} {function}: a workspace condition less"
                yield name, partial(_without_condition, file, function, number, service)


async def _without_condition(file: Path, name: str, number: int, service: str, stage: Stage) -> Verdict:
    function = _function(file, name)
    for row in _messages(service):
        verdict = await _shown(row, stage, function, number)
        if verdict is not None:
            return verdict
    async with row_security_lifted(stage, service, await protected(stage, service)):
        for row in _requests(service):
            verdict = await _shown(row, stage, function, number)
            if verdict is not None:
                return verdict
    return None


# -- rows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    name: str
    run: Run


@dataclass(frozen=True)
class _Seen:
    """Of a row without any mutant."""

    holds: bool
    through: frozenset[CodeType]


_seen: dict[str, _Seen] = {}


async def _shown(row: _Row, stage: Stage, function: FunctionType, number: int) -> Verdict:
    if row.name not in _seen:
        with _calls() as through:
            holds = await row.run(stage) is None
        _seen[row.name] = _Seen(holds, frozenset(through))
    known = _seen[row.name]
    if not known.holds or function.__code__ not in known.through:
        return None
    with mutated(function, number):
        try:
            return await row.run(stage)
        except AssertionError as error:  # what the row needs cannot even be made
            return f"{row.name}: {str(error)[:200]}"


@contextmanager
def _calls() -> Iterator[set[CodeType]]:
    """The code of services that is come through meanwhile."""
    through: set[CodeType] = set()
    services = str(ROOT / "services")

    def look(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(services):
            through.add(frame.f_code)

    sys.setprofile(look)
    try:
        yield through
    finally:
        sys.setprofile(None)


def _messages(service: str) -> Iterator[_Row]:
    for binding in messages.BINDINGS:
        if binding.service != service:
            continue
        if binding in messages.BY_ID:
            yield _Row(f"{binding.queue} {binding.event.type}", partial(_delivered, binding, messages.check))
        elif binding.event is ServerReady:
            yield _Row(f"mails of {binding.event.type}", partial(_delivered, binding, messages.check_mails))


async def _delivered(binding: Binding, row: Callable[..., Awaitable[list[str]]], stage: Stage) -> Verdict:
    wrong = await row(stage.world, binding)
    return f"{binding.queue} {binding.event.type}: {wrong[0]}" if wrong else None


def _requests(service: str) -> Iterator[_Row]:
    for case in CASES:
        if case.service != service:
            continue
        if case.of_workspace and case.thing is not None:
            yield _Row(case.name, partial(red, case=case, row=check))
        if case.name in LISTED or case.name in ACROSS:
            yield _Row(f"{case.name} elsewhere", partial(red, case=case, row=check_elsewhere))


# -- mutants -------------------------------------------------------------------------------------------------------


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


def _function(file: Path, name: str) -> FunctionType:
    found: Any = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for part in name.split("."):
        found = getattr(found, part)
    unwrapped = inspect.unwrap(found)
    assert isinstance(unwrapped, FunctionType)
    return unwrapped


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
