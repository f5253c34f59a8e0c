"""`….workspace_id == …` in the services' code, taken away one after the other.

Rows are calls of functions with another customer's ids (`direct.py`), messages and calls between services that carry
them, and what people ask, with row security lifted, so that the condition stands alone. Each row is run once as it is:
that shows whether it holds then, and which functions it comes through; a mutant is shown to the rows that come through
its function.
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

from shared.contracts.provisioner_events import ServerReady
from tests.isolation import direct, internal, messages
from tests.isolation.cases import CASES
from tests.isolation.elsewhere import ACROSS, check_elsewhere
from tests.isolation.functions import FOREIGN, OWN
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
            for function, number in _conditions(file):
                name = f"{file.relative_to(ROOT)} {function}: without workspace condition {number + 1}"
                yield name, partial(_without_condition, file, function, number, service)


async def _without_condition(file: Path, name: str, number: int, service: str, stage: Stage) -> Verdict:
    function = _function(file, name)
    called = f"{'.'.join(file.relative_to(ROOT / 'services').with_suffix('').parts)}.{name} "
    of_itself_first = sorted(_calls(service), key=lambda row: not row.name.startswith(called))
    for row in (*of_itself_first, *_messages(service)):
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

    red: Verdict
    through: frozenset[CodeType]


_seen: dict[str, _Seen] = {}


async def _shown(row: _Row, stage: Stage, function: FunctionType, number: int) -> Verdict:
    if row.name not in _seen:
        with _code_come_through() as through:
            red_now = await _verdict(row, stage)
        _seen[row.name] = _Seen(red_now, frozenset(through))
    known = _seen[row.name]
    if known.red is not None or function.__code__ not in known.through:
        return None
    with mutated(function, number):
        return await _verdict(row, stage)


async def _verdict(row: _Row, stage: Stage) -> Verdict:
    try:
        verdict = await row.run(stage)
    except Exception as error:  # code broke, or what the row needs could not even be made
        verdict = f"{type(error).__name__} {str(error)[:200]}"
    return None if verdict is None else f"{row.name}: {verdict}"


def red_anyway() -> dict[str, str]:
    """Rows that are red without any mutant, as far as they were run, and why: nothing is shown to them."""
    return {name: seen.red for name, seen in _seen.items() if seen.red is not None}


@contextmanager
def _code_come_through() -> Iterator[set[CodeType]]:
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


def _calls(service: str) -> Iterator[_Row]:
    for name in FOREIGN:
        if name.startswith(f"{service}."):
            yield _Row(f"{name} of another's", partial(_checked, name, direct.check_foreign))
    for name in OWN:
        if name.startswith(f"{service}."):
            yield _Row(f"{name} of one's own", partial(_checked, name, direct.check_own))
    for call in internal.OF_WORKSPACES:
        if call.callee == service:
            yield _Row(f"{call.method} {call.path}", partial(_checked, call, internal.check))


async def _checked(what: Any, row: Callable[..., Awaitable[list[str]]], stage: Stage) -> Verdict:
    wrong = await row(stage.world, what)
    return wrong[0] if wrong else None


def _messages(service: str) -> Iterator[_Row]:
    for binding in messages.BINDINGS:
        if binding.service != service:
            continue
        if binding in messages.BY_ID:
            yield _Row(f"{binding.queue} {binding.event.type}", partial(_checked, binding, messages.check))
        elif binding.event is ServerReady:
            yield _Row(f"mails of {binding.event.type}", partial(_checked, binding, messages.check_mails))


def _requests(service: str) -> Iterator[_Row]:
    for case in CASES:
        if case.service != service:
            continue
        if case.of_workspace and case.thing is not None:
            yield _Row(case.name, partial(red, case=case, row=check))
        if case.name in LISTED or case.name in ACROSS:
            yield _Row(f"{case.name} elsewhere", partial(red, case=case, row=check_elsewhere))


# -- mutants -------------------------------------------------------------------------------------------------------


WORKSPACE = ("workspace_id", "scope")
"""How a workspace is called where rows are compared; a scope is whose the vault's data keys are."""


def _last_name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


class _Conditions(ast.NodeTransformer):
    """Finds `x.workspace_id == y` and the like, and replaces one of them by what always holds."""

    def __init__(self, replace: int | None = None) -> None:
        self.found = 0
        self._replace = replace

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        sides = (node.left, *node.comparators)
        named = any(_last_name(side) in WORKSPACE for side in sides)
        if not named or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            return node
        self.found += 1
        if self._replace != self.found - 1:
            return node
        call = f"__import__({__name__!r}, fromlist=['always']).always"
        holds = ast.Call(
            ast.parse(call, mode="eval").body, [node, ast.Constant(isinstance(node.ops[0], ast.Eq))], []
        )
        return ast.fix_missing_locations(ast.copy_location(holds, node))


def always(compared: Any, answer: bool) -> Any:
    """The answer, in place of what the comparison says: of values, or of columns, which are never null."""
    if isinstance(compared, bool):
        return answer
    return compared.is_not(None) if answer else compared.is_(None)


def _conditions(file: Path) -> Iterator[tuple[str, int]]:
    """(qualified name of the function, number of the condition in it)."""
    tree = ast.parse(file.read_text("utf-8"))
    holders: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    holders += [(f"{node.name}.", node) for node in tree.body if isinstance(node, ast.ClassDef)]
    for prefix, holder in holders:
        for node in holder.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                finder = _Conditions()
                finder.visit(node)
                for number in range(finder.found):
                    yield prefix + node.name, number


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
