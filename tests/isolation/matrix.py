"""One row of the matrix: a route, asked by every kind of principal with own, foreign and unknown ids.

`check` answers with what is wrong, in words; an empty list is a row that holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from fastapi import Request

from gateway import pipeline
from gateway.authorize import ALLOW, Decision, decide
from shared.ids import new_id
from shared.web.access import AccessRule, RequiresPermission, SignedIn
from shared.web.problems import not_found
from tests.isolation import bodies, people
from tests.isolation.caller import Answer
from tests.isolation.cases import TABLE, Case
from tests.isolation.cast import MEMBER_OF_BOTH, OF_B, PRINCIPALS, Cast, cast
from tests.isolation.expectations import Expectation
from tests.isolation.factories import FACTORIES, PREFIXES
from tests.isolation.lists import LISTED
from tests.isolation.stage import Stage
from tests.isolation.world import Customer, Holdings, Made, World

NOTHING = bytes(not_found().body)


@dataclass
class Row:
    """What is at hand while one route is checked."""

    stage: Stage
    case: Case
    expected: Expectation
    cast: Cast
    wrong: list[str] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.stage.world

    def note(self, principal: str, what: str, answer: Answer, wanted: str) -> None:
        self.wrong.append(f"{principal}, {what}: {answer.status}, expected {wanted}: {answer.body[:200]!r}")

    async def ask(self, principal: str, path: str, body: Any = None, **headers: str) -> Answer:
        said = {
            "Idempotency-Key": new_id("req"),
            "If-Match": "*",
            **bodies.HEADERS.get(self.case.name, {}),
            **headers,
        }
        return await self.stage.ask(
            self.case.method, path, {**said, **self.cast.credentials[principal]}, body
        )


async def check(stage: Stage, case: Case, expected: Expectation) -> list[str]:
    row = Row(stage, case, expected, await cast(stage.world, expected.scope))
    await stage.learn()
    await _own(row)
    if not row.wrong and (case.of_workspace or case.thing):
        await _foreign(row)
    return row.wrong


async def check_second_wall(stage: Stage, case: Case, expected: Expectation) -> list[str]:
    """The same requests after foreign things, with every authorization check saying yes: row security gives nothing."""
    row = Row(stage, case, expected, await cast(stage.world, expected.scope))
    await stage.learn()
    b = row.cast.b
    theirs = await make(row.world, case, b)
    body = await body_of(row.world, case, b, theirs)
    thing_id = theirs.id if theirs else None
    if case.name in LISTED:
        await LISTED[case.name](row.world, b)
    before = await row.world.holdings(b)
    secrets = _secrets(before, await row.world.holdings(row.cast.a), f"{b.workspace_id} {thing_id} {body}")
    with everything_allowed():
        for principal in _strangers_to_b():
            home = row.cast.home(principal).workspace_id
            for path in {case.at(b.workspace_id, thing_id), case.at(home, thing_id)}:
                answer = await row.ask(principal, path, body)
                told = sorted(word for word in secrets if word.encode() in answer.body)
                if told:
                    row.note(principal, path, answer, f"nothing of B's, such as {told[0]}")
    after = await row.world.holdings(b)
    row.wrong += [f"B has now {line}" for line in set(after.rows) - set(before.rows)]
    row.wrong += [f"B had {line}" for line in set(before.rows) - set(after.rows)]
    return row.wrong


async def check_second_check(stage: Stage, case: Case, expected: Expectation) -> list[str]:
    """The service itself, should the gateway ever let somebody through: all permissions but the one are not enough."""
    a = (await cast(stage.world, expected.scope)).a
    made = await make(stage.world, case, a)
    body = await body_of(stage.world, case, a, made)
    needed = next(route.permission for route in TABLE.routes if (route.method, route.path) == case.route)
    others = TABLE.permissions_of("owner") - {needed or ""}
    path = case.at(a.workspace_id, made.id if made else None)
    answer = await stage.world.ask(case.service, case.method, path, a, body, permissions=others)
    return [] if answer.status == 403 else [f"without {needed}: {answer.status}, expected 403"]


def _strangers_to_b() -> list[str]:
    return [name for name in PRINCIPALS if name not in OF_B and name != MEMBER_OF_BOTH]


@contextmanager
def everything_allowed() -> Iterator[None]:
    """Gateway and services with their first wall taken down: whoever can say who he is may do everything."""

    async def passes(self: AccessRule, request: Request) -> None:
        return None

    with (
        patch.object(pipeline, "decide", lambda *_: ALLOW),
        patch.object(RequiresPermission, "__call__", passes),
        patch.object(SignedIn, "__call__", passes),
    ):
        yield


async def make(world: World, case: Case, one: Customer) -> Made | None:
    if case.thing is None:
        return None
    factory = FACTORIES.get((case.service, case.thing))
    assert factory is not None, f"{case.service} has no factory for {case.thing} ({case.name})"
    return await factory(world, one)


async def body_of(world: World, case: Case, one: Customer, made: Made | None) -> Any:
    body = bodies.BODIES.get(case.name)
    return None if body is None else await body(world, one, made)


async def _own(row: Row) -> None:
    """Each principal and a thing of the workspace that it belongs to, or pretends to belong to."""
    refused = range(400, 503 if row.case.name in bodies.KEEPS_INTENT else 600)
    allowed = [name for name, column in PRINCIPALS.items() if row.expected.status[column] not in refused]
    await _refused(row, [name for name in PRINCIPALS if name not in allowed])
    for principal in allowed:
        await _ask_about_own(row, principal, *await _thing(row, row.cast.home(principal)))
        if row.case.name in bodies.CONSUMES:
            row.cast = await cast(row.world, row.expected.scope)
            await row.stage.learn()


async def _refused(row: Row, principals: list[str]) -> None:
    """Those who may not, all with the same thing: nothing of it may change."""
    for home in (row.cast.a, row.cast.c):
        present = [name for name in principals if row.cast.home(name) is home]
        if not present:
            continue
        made, body = await _thing(row, home)
        before = await row.world.holdings(home)
        for principal in present:
            if not row.case.of_workspace:
                body = await body_of(row.world, row.case, home, made)
            await _ask_about_own(row, principal, made, body)
        if row.case.of_workspace and await row.world.holdings(home) != before:
            row.wrong.append(f"one of {', '.join(present)} was refused, and yet something has changed")


async def _thing(row: Row, home: Customer) -> tuple[Made | None, Any]:
    """A fresh one, and a body to go with it; in C before its deletion begins."""
    made = await make(row.world, row.case, home)
    body = await body_of(row.world, row.case, home, made)
    if home is row.cast.c:
        await people.begin_deletion(row.world, home)
    return made, body


async def _ask_about_own(row: Row, principal: str, made: Made | None, body: Any) -> None:
    wanted = row.expected.status[PRINCIPALS[principal]]
    path = row.case.at(row.cast.home(principal).workspace_id, made.id if made else None)
    with _decisions() as decided:
        answer = await row.ask(principal, path, body)
    if answer.status != wanted:
        row.note(principal, "own", answer, str(wanted))
    elif wanted in (401, 403) and ALLOW in decided and not row.case.public:
        row.note(principal, "own", answer, "the same, by the gateway itself: a service was asked")
    elif wanted == 404 and answer.body != NOTHING:
        row.note(principal, "own", answer, "the same bytes as for what does not exist")


@contextmanager
def _decisions() -> Iterator[list[Decision]]:
    """What the gateway decides meanwhile."""
    decided: list[Decision] = []

    def noted(*asked: Any) -> Decision:
        decided.append(decide(*asked))
        return decided[-1]

    with patch.object(pipeline, "decide", noted):
        yield decided


async def _foreign(row: Row) -> None:
    """B's thing and one that never was, under B's path and under the principal's own: nobody learns which is which."""
    a, b = row.cast.a, row.cast.b
    theirs = await make(row.world, row.case, b)
    body = await body_of(row.world, row.case, b, theirs)
    foreign_id = theirs.id if theirs else None
    unknown_id = new_id(PREFIXES[row.case.thing]) if row.case.thing else None
    before = await row.world.holdings(b)
    secrets = _secrets(before, await row.world.holdings(a), f"{b.workspace_id} {foreign_id} {body}")
    with captured_logs() as lines:
        for principal in _strangers_to_b():
            column = PRINCIPALS[principal]
            own = row.expected.status[column]
            home = row.cast.home(principal).workspace_id
            if row.case.of_workspace:
                at_b = row.case.at(b.workspace_id, foreign_id)
                nowhere = row.case.at(new_id("ws"), unknown_id)
                # Without a valid credential nothing is said at all; with one, what is not yours does not exist.
                outside = (401,) if column == "nobody" else (404,)
                await _alike(row, principal, "B's workspace", at_b, nowhere, body, secrets, outside)
            if row.case.thing is not None:
                wanted = (own,) if own in (401, 403) else (404, 409) if own == 409 else (404,)
                await _alike(
                    row, principal, "B's thing", row.case.at(home, foreign_id), row.case.at(home, unknown_id),
                    body, secrets, wanted,
                )  # fmt: skip
    if await row.world.holdings(b) != before:
        row.wrong.append("somebody changed what B has")
    row.wrong += [f"B's data in the log: {line}" for line in lines if any(word in line for word in secrets)]


async def _alike(
    row: Row,
    principal: str,
    what: str,
    foreign: str,
    unknown: str,
    body: Any,
    secrets: frozenset[str],
    wanted: tuple[int, ...],
) -> None:
    first, second = [await row.ask(principal, path, body) for path in (foreign, unknown)]
    if first.status not in wanted or (first.status == 404 and first.body != NOTHING):
        row.note(principal, what, first, " or ".join(map(str, wanted)))
    if (first.status, comparable(first.body)) != (second.status, comparable(second.body)):
        row.note(principal, what, first, f"the same as for an unknown one ({second.status})")
    told = sorted(word for word in secrets if word.encode() in first.body)
    if told:
        row.note(principal, what, first, f"nothing of B's, such as {told[0]}")


def comparable(body: bytes) -> bytes:
    """Problems name the request that they answer."""
    return bodies.REQUEST_ID.sub(b"", body)


async def secrets_of(row: Row, said: str) -> frozenset[str]:
    """What only B has and what the caller did not say himself."""
    theirs, ours = await row.world.holdings(row.cast.b), await row.world.holdings(row.cast.a)
    return _secrets(theirs, ours, said)


def _secrets(theirs: Holdings, ours: Holdings, said: str) -> frozenset[str]:
    return frozenset(word for word in theirs.words() - ours.words() if word not in said)


@contextmanager
def captured_logs() -> Iterator[list[str]]:
    """Every log line of gateway and services, as it is written."""
    root, lines = logging.getLogger(), []
    handler = logging.Handler()
    formatter = root.handlers[0].formatter if root.handlers else None
    handler.setFormatter(formatter)
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
