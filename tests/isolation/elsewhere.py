"""Ids that travel outside of the path: in bodies, filters, cursors, keys, event numbers and one-time links.

For each of them the owner of A, who may do everything at home, sends what belongs to B.
"""

from __future__ import annotations

import base64
import json
import secrets as random
from typing import Any
from urllib.parse import quote

from shared.ids import new_id
from tests.isolation import bodies, factories, people
from tests.isolation.cases import TABLE, Case
from tests.isolation.cast import cast
from tests.isolation.expectations import Expectation
from tests.isolation.lists import LISTED
from tests.isolation.matrix import Row, body_of, comparable, make, secrets_of
from tests.isolation.stage import Stage
from tests.isolation.world import Customer, Factory, Made, World

_W = "/v1/workspaces/{workspace_id}"
OURS, THEIRS = "owner of A", "owner of B"


async def _plan(world: World, one: Customer) -> Made:
    return Made((await factories.dns.zone(world, one)).extra["plan_id"])


async def _export_link(world: World, one: Customer) -> Made:
    return Made((await factories.vault.export(world, one)).extra["token"])


FILTERS: dict[str, tuple[str, ...]] = {f"GET {_W}/audit": ("target",)}
"""Query parameters that hold an id of what is listed."""

LINKS: dict[str, tuple[str, Factory]] = {
    f"POST {_W}/exports/{{export_id}}/download": ("token", _export_link),
    f"POST {_W}/zones/{{zone_id}}/plan/apply": ("plan_id", _plan),
}
"""Members of bodies that open something once: a link's token, a plan that was shown."""


ACROSS: dict[str, dict[str, Any]] = {
    f"PATCH {_W}/members/{{member_id}}": {"role": "member"},
    f"DELETE {_W}/members/{{member_id}}": {},
    f"POST {_W}/leave": {},
    f"PUT {_W}/notification-preferences": {"off": ["server_ready"]},
    f"POST {_W}/invitations": {"email": ""},
    f"DELETE {_W}": {"confirm_name": ""},
}
"""What is done in A to somebody, or by somebody, who is also in B; with its body."""


async def check_elsewhere(stage: Stage, case: Case, expected: Expectation) -> list[str]:
    row = Row(stage, case, expected, await cast(stage.world, expected.scope))
    await stage.learn()
    if case.name in LISTED:
        await _lists(row)
    if case.name in bodies.BODIES:
        await _workspace_in_body(row)
    if case.name in bodies.IDS_IN_BODIES or case.name in LINKS:
        await _ids_in_body(row)
    if case.name in ACROSS:
        await _across(row)
    if any(route.idempotency for route in TABLE.routes if f"{route.method} {route.path}" == case.name):
        await _idempotency_key(row)
    if case.path.endswith("/events"):
        await _event_id(row)
    return row.wrong


async def _lists(row: Row) -> None:
    """A list, a filter for B's things, the place in B's list, and the same place in a cursor made up for one's own."""
    a, b = row.cast.a, row.cast.b
    for _ in range(2):
        await LISTED[row.case.name](row.world, a)
        theirs = await LISTED[row.case.name](row.world, b)
    foreign = await _cursor(row, THEIRS, b)
    (own_mark, *_), (_, *place) = _values(await _cursor(row, OURS, a)), _values(foreign)
    forged = _encoded([own_mark, *place])
    queries = {"": 200, f"?cursor={quote(foreign)}": 422}
    queries |= {f"?cursor={forged}": 200, f"?limit=1&cursor={forged}": 200}
    queries |= {f"?{name}={theirs.id}": 200 for name in FILTERS.get(row.case.name, ())}
    hidden = await secrets_of(row, "")
    for query, wanted in queries.items():
        answer = await row.ask(OURS, row.case.at(a.workspace_id, None) + query)
        told = [word for word in hidden if word.encode() in answer.body]
        if answer.status != wanted or told:
            row.note(OURS, query or "the list", answer, f"{wanted} and nothing of B's {told[:1]}")


async def _cursor(row: Row, principal: str, one: Customer) -> str:
    page = await row.ask(principal, row.case.at(one.workspace_id, None) + "?limit=1")
    assert page.status == 200, f"the list itself: {page.status} {page.body[:200]!r}"
    return str(json.loads(page.body)["next_cursor"])


def _values(cursor: str) -> list[Any]:
    """The list's mark, then the place in it."""
    values: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return values


def _encoded(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


async def _across(row: Row) -> None:
    """An admin of A and of B, with a key and an invitation of his making in B: what befalls him in A ends there."""
    a, b, method = row.cast.a, row.cast.b, row.case.method
    account_id = await people.account(row.world)
    in_a = await people.join(row.world, a, account_id, "admin")
    await people.join(row.world, b, account_id, "admin")
    for make_one in (factories.auth.api_key, factories.auth.invitation):
        await make_one(row.world, Customer(b.workspace_id, account_id, b.name))
    body = dict(ACROSS[row.case.name])
    by_himself = row.case.path.endswith(("/leave", "/notification-preferences"))
    if "email" in body:  # somebody of B is nobody here, so he can be invited
        body["email"] = f"{b.account_id}@people.test"
    if "confirm_name" in body:
        body["confirm_name"] = a.name
    path = row.case.at(a.workspace_id, in_a if row.case.thing else None)
    acting = Customer(a.workspace_id, account_id if by_himself else a.account_id, a.name)
    before = await row.world.holdings(b)
    answer = await row.world.ask("auth", method, path, acting, body or None)
    if answer.status >= 400:
        row.note(OURS, f"{path} for a person of both", answer, "a success")
    if await row.world.holdings(b) != before:
        row.wrong.append("what was done in A to a person of both changed what B has")
    if row.case.path.endswith("/notification-preferences"):
        await _no_member(row, path, body)


async def _no_member(row: Row, path: str, body: dict[str, Any]) -> None:
    """Let in by a gateway that has not yet heard that he is gone: a member of B alone."""
    stranger = Customer(row.cast.a.workspace_id, row.cast.b.account_id, "")
    answer = await row.world.ask("auth", row.case.method, path, stranger, body)
    if answer.status != 404:
        row.note(THEIRS, "let in by mistake", answer, "404")


async def _own_request(row: Row) -> tuple[str, Any]:
    made = await make(row.world, row.case, row.cast.a)
    body = await body_of(row.world, row.case, row.cast.a, made)
    return row.case.at(row.cast.a.workspace_id, made.id if made else None), body


async def _workspace_in_body(row: Row) -> None:
    """A member that no body has: whose the thing is, is never the caller's to say."""
    path, body = await _own_request(row)
    if not isinstance(body, dict) or not row.case.of_workspace:
        return
    before = await row.world.holdings(row.cast.b)
    answer = await row.ask(OURS, path, {**body, "workspace_id": row.cast.b.workspace_id})
    if answer.status != 422:
        row.note(OURS, "workspace_id in the body", answer, "422")
    if await row.world.holdings(row.cast.b) != before:
        row.wrong.append("a workspace_id in the body changed what B has")


async def _ids_in_body(row: Row) -> None:
    members = dict(bodies.IDS_IN_BODIES.get(row.case.name, {}))
    if row.case.name in LINKS:
        name, factory = LINKS[row.case.name]
        members[name] = (factory, False)
    for name, (factory, many) in members.items():
        foreign = (await factory(row.world, row.cast.b)).id
        unknown = new_id(foreign.split("_")[0]) if foreign[3:4] == "_" else random.token_urlsafe(32)
        before, seen = await row.world.holdings(row.cast.b), []
        for identifier in (foreign, unknown):
            path, body = await _own_request(row)
            answer = await row.ask(OURS, path, {**body, name: [identifier] if many else identifier})
            seen.append((answer.status, comparable(answer.body.replace(identifier.encode(), b"ID"))))
            if answer.status < 400:
                row.note(OURS, f"{name} of B's", answer, "a refusal")
        if seen[0] != seen[1]:
            row.wrong.append(f"{name}: B's and an unknown one are told apart: {seen}")
        if await row.world.holdings(row.cast.b) != before:
            row.wrong.append(f"{name} of B's changed what B has")


async def _idempotency_key(row: Row) -> None:
    """The same key at two customers: each has its own answer."""
    key = new_id("req")
    theirs = await make(row.world, row.case, row.cast.b)
    body = await body_of(row.world, row.case, row.cast.b, theirs)
    path = row.case.at(row.cast.b.workspace_id, theirs.id if theirs else None)
    await row.ask(THEIRS, path, body, **{"Idempotency-Key": key})
    ours, said = await _own_request(row)
    answer = await row.ask(OURS, ours, said, **{"Idempotency-Key": key})
    told = [word for word in await secrets_of(row, str(said)) if word.encode() in answer.body]
    if answer.status != row.expected.status["owner"] or told:
        row.note(OURS, "B's Idempotency-Key", answer, f"an answer of its own, without {told[:1]}")


async def _event_id(row: Row) -> None:
    """The number of an event of B's is a place in A's own stream, and shows nothing of B's."""
    theirs = await make(row.world, row.case, row.cast.b)
    stream = await row.ask(THEIRS, row.case.at(row.cast.b.workspace_id, theirs.id if theirs else None))
    number = next(line[4:] for line in stream.body.decode().splitlines() if line.startswith("id: "))
    path, _ = await _own_request(row)
    for said in ("0", str(int(number) - 1)):
        answer = await row.ask(OURS, path, None, **{"Last-Event-ID": said})
        told = [word for word in await secrets_of(row, "") if word.encode() in answer.body]
        if answer.status != 200 or told:
            row.note(OURS, f"Last-Event-ID {said}", answer, f"200 and nothing of B's {told[:1]}")
