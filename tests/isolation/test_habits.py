"""What every route of its kind has in common (`docs/api-habits.md`), asked of each, by the public document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.openapi import operations
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import eventually
from tests.isolation import bodies, expectations
from tests.isolation.caller import Answer
from tests.isolation.cases import CASES, TABLE, Case
from tests.isolation.matrix import body_of, captured_logs, make
from tests.isolation.services import available, documents_of
from tests.isolation.stage import Person, Stage, gateway_for, learn

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXPECTED = expectations.load()
IDEMPOTENT = [Case(route.service, route.method, route.path) for route in TABLE.routes if route.idempotency]
NOT_TWICE: dict[str, str] = {
    "POST /v1/auth/signup": "a second mail; the newest link counts",
    "POST /v1/auth/sessions": "another session, which is what was asked for; guessing is slowed",
    "POST /v1/auth/password-reset": "a second mail; the newest link counts",
    "POST /v1/me/email": "a second mail; the newest link counts",
    "POST /v1/me/second-factor": "another key in place of the one that was never confirmed",
    "POST /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/webmail-sessions": "a link that works once",
    "POST /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/chosen-password": "the present password is refused; "
    "of a body with a password not even a hash is kept",
    "POST /v1/workspaces/{workspace_id}/webhook-deliveries/{delivery_id}/replay": "goes by its old id",
    "POST /v1/workspaces/{workspace_id}/zones/{zone_id}/proof": "looks once more",
    "POST /v1/workspaces/{workspace_id}/zones/{zone_id}/plan/apply": "the plan's id: applied once",
}
"""POSTs that make something or begin some work, and do it no harm when they are repeated."""


@pytest.fixture(scope="module")
def described(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """route → its operation in the services' own documents."""
    documents = documents_of(available(), trust, tmp_path_factory.mktemp("documents"))
    return {
        f"{method} {path}": operation
        for document in documents.values()
        for method, path, operation in operations(document)
    }


def _takes(operation: dict[str, Any], header: str) -> bool:
    return any(one["in"] == "header" and one["name"] == header for one in operation.get("parameters", ()))


class Asked:
    """The owner of a workspace and a fresh thing of his."""

    def __init__(self, stage: Stage, case: Case, owner: Person) -> None:
        self.stage, self.case, self.owner = stage, case, owner
        self.path = ""
        self.body: Any = None

    async def prepare(self) -> None:
        made = await make(self.stage.world, self.case, self.owner.customer)
        self.path = self.case.at(self.owner.workspace_id, made.id if made else None)
        self.body = await body_of(self.stage.world, self.case, self.owner.customer, made)

    async def ask(self, body: Any = None, **headers: str) -> Answer:
        """Headers by their names with `_` for `-`."""
        said = {**bodies.HEADERS.get(self.case.name, {}), **self.owner.headers}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = self.body if body is None else body
        return await self.stage.ask(self.case.method, self.path, said, content)


async def asked(stage: Stage, case: Case, owner: Person | None = None) -> Asked:
    """By a fresh person, unless one is given."""
    made = Asked(stage, case, owner or await stage.person())
    await made.prepare()
    await stage.learn()
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader(whole: Stage) -> Person:
    """For requests after which everybody is what he was."""
    return await whole.person()


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["code"]


# -- repeating what creates ------------------------------------------------------------------------------------------


async def test_what_makes_something_takes_an_idempotency_key_or_says_why_not(
    described: dict[str, dict[str, Any]],
) -> None:
    making = {
        name
        for name, operation in described.items()
        if name.startswith("POST ") and {"201", "202"} & set(operation["responses"])
    }
    keyed = {name for name in making if _takes(described[name], "Idempotency-Key")}
    assert making - keyed == set(NOT_TWICE)
    assert keyed == {case.name for case in IDEMPOTENT}


@pytest.mark.parametrize("case", IDEMPOTENT, ids=lambda case: case.name)
async def test_a_repeated_request_takes_effect_once_and_gets_the_same_answer(
    whole: Stage, case: Case
) -> None:
    one, key = await asked(whole, case), new_id("req")
    assert code(await one.ask()) == (400, "idempotency_key_missing")
    first = await one.ask(Idempotency_Key=key)
    before = await whole.world.holdings(one.owner.customer)
    again = await one.ask(Idempotency_Key=key)
    assert await whole.world.holdings(one.owner.customer) == before
    other = await one.ask({**(one.body or {}), "unknown": 1}, Idempotency_Key=key)
    if case.name in bodies.NOT_ALONE:  # what fails is not kept, so it can be tried again
        assert first.status == again.status == EXPECTED[case.name].status["owner"] >= 400
        assert "idempotency-replayed" not in again.headers
        return
    assert first.status == again.status == EXPECTED[case.name].status["owner"]
    assert again.headers["idempotency-replayed"] == "true"
    told, kept = json.loads(first.body), json.loads(again.body)
    assert {name: told[name] for name, value in kept.items() if value is not None} == {
        name: value for name, value in kept.items() if value is not None
    }
    assert other.status == 422
    assert "idempotency-replayed" not in other.headers


# -- two people who change the same thing ------------------------------------------------------------------------------


async def test_what_is_overwritten_takes_if_match(described: dict[str, dict[str, Any]]) -> None:
    overwriting = {name for name in described if name.startswith(("PUT ", "PATCH "))}
    assert overwriting
    assert {name for name in described if _takes(described[name], "If-Match")} == overwriting


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.method in ("PUT", "PATCH")], ids=lambda case: case.name
)
async def test_a_change_by_who_has_not_seen_the_last_version_changes_nothing(
    whole: Stage, case: Case
) -> None:
    one = await asked(whole, case)
    before = await whole.world.holdings(one.owner.customer)
    assert code(await one.ask()) == (428, "precondition_required")
    for tag in ('"of another thing"', 'W/"1"', "1"):
        assert code(await one.ask(If_Match=tag)) == (412, "precondition_failed")
    assert await whole.world.holdings(one.owner.customer) == before
    done = await one.ask(If_Match="*")
    assert done.status == 200
    assert re.fullmatch(r'"[!#-~]+"', done.headers["etag"])
    assert code(await one.ask(If_Match='"of another thing"')) == (412, "precondition_failed")


# -- limits and ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_answer_names_its_request_and_what_is_left(whole: Stage, case: Case, reader: Person) -> None:
    one = await asked(whole, case, reader if case.method == "GET" else None)
    named = set()
    for credential in ({}, one.owner.headers):
        answer = await whole.ask(
            case.method, one.path, {**credential, "X-Request-Id": "the-caller-s-own"}, one.body
        )
        request_id = answer.headers["x-request-id"]
        assert bodies.REQUEST_ID.fullmatch(request_id.encode())
        named.add(request_id)
        if answer.media_type.startswith("application/problem+json"):
            problem = json.loads(answer.body)
            assert {"type", "title", "status", "code"} <= set(problem)
            assert problem.get("instance", request_id) == request_id
        if credential:
            assert re.fullmatch(r'"(caller|address)";q=\d+;w=60', answer.headers["ratelimit-policy"])
            assert re.fullmatch(r'"(caller|address)";r=\d+;t=\d+', answer.headers["ratelimit"])
    assert len(named) == 2


async def test_whoever_is_over_his_limit_is_told_when_to_come_back_on_every_route(
    whole: Stage, trust: Trust, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sockets = Path(whole.gateway.settings.services_dir)
    # What the filter does about somebody who goes on and on is not what is asked here, and takes a second each time.
    gateway = gateway_for(
        trust, sockets, rate_limit_signed_in=1, rate_limit_public=1, filter_action="observe"
    )
    try:
        await gateway.tokens.refresh()
        await learn(gateway)
        stage = Stage(whole.world, gateway)
        person = await whole.person()
        await learn(gateway)
        for path in ("/v1/me", "/v1/auth/jwks"):  # takes what there is of a minute
            assert (await stage.ask("GET", path, person.headers)).status == 200
        for case, path in _paths(person.workspace_id):
            answer = await stage.ask(case.method, path, person.headers)
            assert code(answer) == (429, "too_many_requests"), case.name
            assert int(answer.headers["retry-after"]) >= 1, case.name
            assert ";r=0;" in answer.headers["ratelimit"], case.name
    finally:
        await gateway.stop()


async def test_whoever_finds_a_service_away_is_told_when_to_come_back_on_every_route(
    whole: Stage, trust: Trust, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a service answers while its database is away: `tests/faults/test_independence.py`."""
    doors, sockets = tmp_path_factory.mktemp("doors"), Path(whole.gateway.settings.services_dir)
    for service in available():
        (doors / f"{service}.sock").symlink_to(sockets / f"{service}.sock")
    gateway = gateway_for(trust, doors)
    try:
        await gateway.tokens.refresh()
        person = await whole.person()
        await learn(gateway)
        for door in doors.iterdir():
            door.unlink()
        for pool in gateway.upstreams.pools.values():
            pool.close()
        for case, path in _paths(person.workspace_id):
            answer = await Stage(whole.world, gateway).ask(
                case.method, path, {**person.headers, "Idempotency-Key": new_id("req")}
            )
            assert code(answer) == (503, "unavailable"), case.name
            assert int(answer.headers["retry-after"]) >= 1, case.name
    finally:
        await gateway.stop()


# -- one request in all logs -------------------------------------------------------------------------------------------

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_trace_goes_on_to_the_service_and_one_that_is_none_is_replaced(
    whole: Stage, case: Case
) -> None:
    """W3C Trace Context: https://www.w3.org/TR/trace-context/#traceparent-header"""
    request_id, trace = await _traced(whole, case, f"00-{TRACE}-{SPAN}-01")
    assert trace == TRACE
    request_id, trace = await _traced(whole, case, f"00-{'0' * 32}-{SPAN}-01")
    assert trace == request_id.removeprefix("req_")


async def _traced(whole: Stage, case: Case, traceparent: str) -> tuple[str, str]:
    """The request id that the caller is told, and the trace in which the service was at work for it."""
    one = await asked(whole, case)
    with captured_logs() as lines:
        answer = await one.ask(traceparent=traceparent, Idempotency_Key=new_id("req"), If_Match="*")
        request_id = answer.headers["x-request-id"]
        await eventually(lambda: _at_the_service(lines, request_id) is not None)
    line = _at_the_service(lines, request_id)
    assert line is not None
    return request_id, line["trace_id"]


def _at_the_service(lines: list[str], request_id: str) -> dict[str, Any] | None:
    """The access line of the service that was asked; an event stream's is written when it has ended."""
    for text in lines:
        line: dict[str, Any] = json.loads(text)
        if line["event"] == "request" and line.get("request_id") == request_id and "trace_id" in line:
            return line
    return None


def _paths(workspace_id: str) -> Iterator[tuple[Case, str]]:
    from tests.isolation.factories import PREFIXES

    for case in CASES:
        yield case, case.at(workspace_id, new_id(PREFIXES[case.thing]) if case.thing else None)
