"""A small service's API: access rules, problems, transactions, idempotency, pages and streams."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Path
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from shared.errors import Conflict, Gone, Invalid, NotFound, TooManyRequests
from shared.ids import WorkspaceId, new_id
from shared.settings import ServiceSettings
from shared.web import (
    IdempotencyDep,
    IdentityDep,
    Page,
    PageDep,
    SessionDep,
    build_app,
    public,
    requires,
    signed_in,
)
from shared.web.pagination import CursorRefused, PageRequest, decode_cursor, encode_cursor
from shared.web.problems import RETRY_SECONDS, problem
from shared.web.sse import ServerSentEvent, event_stream
from tests.fixtures.database import ServiceDatabase
from tests.fixtures.identity import Trust

A, B = new_id("ws"), new_id("ws")
router = APIRouter(prefix="/v1")
failures: dict[str, Exception] = {
    "conflict": Conflict("taken", field="name", next_action="Take another."),
    "gone": Gone(),
    "invalid": Invalid("bad", field="name"),
    "busy": TooManyRequests(retry_after=7),
    "missing": NotFound("srv_secret is in another workspace"),
    "bug": RuntimeError("password=hunter2"),
}


class NoteBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str


class Note(BaseModel):
    id: str
    text: str
    token: str | None = None


@router.get("/workspaces/{workspace_id}/notes", dependencies=[requires("notes.read")])
async def list_notes(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[Note]:
    rows = (
        await session.execute(
            text("select id, text from note where id > :after order by id limit :limit"),
            {"after": page.after_id or "", "limit": page.limit + 1},
        )
    ).all()
    return page.page(rows, lambda row: Note(id=row.id, text=row.text), lambda row: row.id)


@router.post("/workspaces/{workspace_id}/notes", dependencies=[requires("notes.write")], status_code=201)
async def create_note(
    workspace_id: WorkspaceId, body: NoteBody, session: SessionDep, idempotency: IdempotencyDep
) -> Any:
    async def create() -> Note:
        note = Note(id=new_id("res"), text=body.text, token="shown-once")
        await session.execute(
            text("insert into note values (:i, :w, :t)"), {"i": note.id, "w": workspace_id, "t": note.text}
        )
        if body.text == "slow":
            await asyncio.sleep(0.3)
        if body.text == "refused":
            raise Conflict("not this one")
        return note

    return await idempotency.run(status_code=201, call=create, secret_fields={"token"})


@router.get("/workspaces/{workspace_id}/numbers/{number}", dependencies=[requires("notes.read")])
async def number(workspace_id: WorkspaceId, number: Annotated[int, Path(ge=1)]) -> int:
    return number


@router.post("/workspaces/{workspace_id}/exports", dependencies=[requires("notes.read", step_up=300)])
async def export(workspace_id: WorkspaceId) -> str:
    return "exported"


@router.get("/me", dependencies=[signed_in()])
async def me(identity: IdentityDep) -> str:
    return identity.subject


@router.get("/failures/{name}", dependencies=[public()])
async def fail(name: str) -> None:
    raise failures[name]


@router.post("/late", dependencies=[public()])
async def fails_at_commit(session: SessionDep) -> str:
    await session.execute(text("create temporary table t (n int unique deferrable initially deferred)"))
    await session.execute(text("insert into t values (1), (1)"))
    return "this must not be said"


@pytest.fixture
async def api(kit_database: ServiceDatabase, trust: Trust) -> AsyncIterator[FastAPI]:
    app = build_app("dns", trust.settings(ServiceSettings, "dns", "api", kit_database), [router])
    yield app
    await app.state.database.dispose()


@pytest.fixture
async def client(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://dns") as client:
        yield client


@pytest.fixture
def owner(trust: Trust) -> dict[str, str]:
    return trust.user("dns", workspace_id=A, permissions=["notes.read", "notes.write"])


def key() -> dict[str, str]:
    return {"Idempotency-Key": new_id("req")}


NOTES = f"/v1/workspaces/{A}/notes"


async def test_the_permission_opens_the_route(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    answer = await client.get(NOTES, headers=owner)
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


async def test_without_an_identity_it_is_401(client: httpx.AsyncClient) -> None:
    answer = await client.get(NOTES)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["code"] == "unauthenticated"


async def test_without_the_permission_it_is_403_and_names_it(client: httpx.AsyncClient, trust: Trust) -> None:
    answer = await client.get(NOTES, headers=trust.user("dns", workspace_id=A))
    assert (answer.status_code, answer.json()["permission"]) == (403, "notes.read")


async def test_bare_headers_say_nothing(client: httpx.AsyncClient) -> None:
    forged = {"X-SC-Identity": json.dumps({"sub": "usr_1", "ws": A}), "X-Workspace-Id": A, "X-User": "root"}
    assert (await client.get(NOTES, headers=forged)).status_code == 401


async def test_a_token_for_another_service_is_401(client: httpx.AsyncClient, trust: Trust) -> None:
    headers = trust.user("vault", workspace_id=A, permissions=["notes.read"])
    assert (await client.get(NOTES, headers=headers)).status_code == 401


async def test_two_identities_are_401(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    name, value = next(iter(owner.items()))
    assert (await client.get(NOTES, headers=[(name, value), (name, value)])).status_code == 401


async def test_a_service_token_opens_no_public_route(client: httpx.AsyncClient, trust: Trust) -> None:
    assert (await client.get(NOTES, headers=trust.service("vault", "dns", workspace_id=A))).status_code == 404
    assert (await client.get("/v1/me", headers=trust.service("vault", "dns"))).status_code == 403


async def test_foreign_unknown_and_malformed_things_answer_byte_for_byte_the_same(
    client: httpx.AsyncClient, owner: dict[str, str]
) -> None:
    answers = [
        await client.get(path, headers=owner)
        for path in (
            f"/v1/workspaces/{B}/notes",
            f"/v1/workspaces/{new_id('ws')}/notes",
            "/v1/workspaces/not-an-id/notes",
            f"/v1/workspaces/{A}/numbers/zero",
            "/v1/failures/missing",
            "/v1/nothing/here",
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert all(answer.headers["X-Request-Id"] for answer in answers)


async def test_a_fresh_sign_in_is_enough_for_step_up(client: httpx.AsyncClient, trust: Trust) -> None:
    path = f"/v1/workspaces/{A}/exports"
    grant: dict[str, Any] = {"workspace_id": A, "permissions": ["notes.read"]}
    now = int(time.time())
    assert (await client.post(path, headers=trust.user("dns", auth_time=now, **grant))).status_code == 200
    old = await client.post(path, headers=trust.user("dns", auth_time=now - 301, **grant))
    assert (old.status_code, old.json()["code"], old.json()["max_age"]) == (401, "step_up_required", 300)
    assert 'error="insufficient_user_authentication"' in old.headers["WWW-Authenticate"]
    assert 'max_age="300"' in old.headers["WWW-Authenticate"]
    assert (await client.post(path, headers=trust.api_key("dns", **grant))).status_code == 403


async def test_keys_are_no_people(client: httpx.AsyncClient, trust: Trust) -> None:
    assert (await client.get("/v1/me", headers=trust.user("dns", account_id="usr_x"))).json() == "usr_x"
    assert (await client.get("/v1/me", headers=trust.api_key("dns", workspace_id=A))).status_code == 403


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("conflict", 409, "conflict"),
        ("gone", 410, "gone"),
        ("invalid", 422, "invalid"),
        ("busy", 429, "too_many_requests"),
    ],
)
async def test_expected_failures_are_problems(
    client: httpx.AsyncClient, name: str, status: int, code: str
) -> None:
    answer = await client.get(f"/v1/failures/{name}")
    body = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["instance"] == answer.headers["X-Request-Id"]
    assert {"type", "title", "detail"} <= set(body)


async def test_a_problem_names_the_field_and_what_to_do(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/failures/conflict")).json()
    assert body["errors"] == [{"field": "name", "detail": "taken"}]
    assert body["next_action"] == "Take another."


async def test_a_busy_answer_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/failures/busy")).headers["Retry-After"] == "7"


@pytest.mark.parametrize("status", [429, 503])
def test_also_where_nobody_said_when(status: int) -> None:
    """Whichever way the failure was made: this is the one place where problems are."""
    assert problem(status, "busy", "Busy", "Busy").headers["Retry-After"] == str(RETRY_SECONDS)
    assert problem(status, "busy", "Busy", "Busy", headers={"Retry-After": "7"}).headers["Retry-After"] == "7"
    assert "Retry-After" not in problem(409, "conflict", "Conflict", "Conflict").headers


@pytest.mark.asvs("16.5.1")
async def test_a_defect_tells_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/failures/bug")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text


async def test_invalid_input_is_not_echoed(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    answer = await client.post(NOTES, headers=owner | key(), json={"text": 5, "extra": "hunter2"})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"body.text", "body.extra"}
    assert "hunter2" not in answer.text


async def test_a_wrong_method_is_a_problem_too(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    answer = await client.put(NOTES, headers=owner)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.asvs("2.3.3")
async def test_a_failed_commit_is_never_a_success(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/late")
    assert answer.status_code == 500
    assert "must not be said" not in answer.text


async def test_a_lost_database_is_503(trust: Trust) -> None:
    app = build_app("dns", trust.settings(ServiceSettings, "dns", "api"), [router])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://dns") as client:
        answer = await client.post("/v1/late")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "Retry-After" in answer.headers
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "checks": {"database": "failed"}})
        assert (await client.get("/healthz")).status_code == 200


async def test_a_ready_service_says_so_and_counts_requests(
    client: httpx.AsyncClient, owner: dict[str, str]
) -> None:
    await client.get(NOTES, headers=owner)
    assert (await client.get("/readyz")).json() == {"ready": True, "checks": {"database": "ok"}}
    metrics = (await client.get("/metrics")).text
    assert 'route="/v1/workspaces/{workspace_id}/notes"' in metrics


async def test_a_repeated_post_takes_effect_once(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    headers = owner | key()
    first = await client.post(NOTES, headers=headers, json={"text": "one"})
    again = await client.post(NOTES, headers=headers, json={"text": "one"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_secret_is_shown_once_and_not_stored(
    client: httpx.AsyncClient, owner: dict[str, str], kit_database: ServiceDatabase
) -> None:
    headers = owner | key()
    first = await client.post(NOTES, headers=headers, json={"text": "one"})
    again = await client.post(NOTES, headers=headers, json={"text": "one"})
    assert (first.json()["token"], again.json()["token"]) == ("shown-once", None)
    stored = kit_database.postgres.psql("select response from idempotency_key", kit_database.name)
    assert "shown-once" not in stored


async def test_a_key_for_another_body_is_refused(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    headers = owner | key()
    await client.post(NOTES, headers=headers, json={"text": "one"})
    other = await client.post(NOTES, headers=headers, json={"text": "two"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("value", [None, "", "with space", "x" * 129])
async def test_a_missing_or_malformed_key_is_refused(
    client: httpx.AsyncClient, owner: dict[str, str], value: str | None
) -> None:
    headers = owner if value is None else owner | {"Idempotency-Key": value}
    answer = await client.post(NOTES, headers=headers, json={"text": "one"})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


@pytest.mark.asvs("2.3.4")
async def test_of_many_at_the_same_time_one_takes_effect(
    client: httpx.AsyncClient, owner: dict[str, str]
) -> None:
    headers = owner | key()
    answers = await asyncio.gather(
        *(client.post(NOTES, headers=headers, json={"text": "slow"}) for _ in range(5))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201, 409, 409, 409, 409]
    assert (await client.post(NOTES, headers=headers, json={"text": "slow"})).headers["Idempotency-Replayed"]


async def test_what_failed_can_be_tried_again_with_the_same_key(
    client: httpx.AsyncClient, owner: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = owner | key()
    for _ in range(2):
        answer = await client.post(NOTES, headers=headers, json={"text": "refused"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_keys_of_different_workspaces_do_not_meet(
    client: httpx.AsyncClient, owner: dict[str, str], trust: Trust
) -> None:
    shared_key = key()
    other = trust.user("dns", workspace_id=B, permissions=["notes.write"])
    first = await client.post(NOTES, headers=owner | shared_key, json={"text": "mine"})
    second = await client.post(
        f"/v1/workspaces/{B}/notes", headers=other | shared_key, json={"text": "theirs"}
    )
    assert second.status_code == 201
    assert first.json()["id"] != second.json()["id"]


async def test_pages_cover_everything_once(client: httpx.AsyncClient, trust: Trust) -> None:
    workspace = new_id("ws")
    headers = trust.user("dns", workspace_id=workspace, permissions=["notes.read", "notes.write"])
    path = f"/v1/workspaces/{workspace}/notes"
    for number_ in range(5):
        await client.post(path, headers=headers | key(), json={"text": str(number_)})
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(path, headers=headers, params=query)).json()
        assert len(page["items"]) <= 2
        seen += [item["text"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"cursor": "!!"}, {"cursor": "W10"}, {"cursor": "e30"}]
)
async def test_a_bad_page_request_is_422(
    client: httpx.AsyncClient, owner: dict[str, str], query: dict[str, str]
) -> None:
    answer = await client.get(NOTES, headers=owner, params=query)
    code = "cursor_refused" if query.get("cursor", "!!") != "!!" else "invalid"
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_a_cursor_holds_what_was_put_in() -> None:
    assert decode_cursor("list", encode_cursor("list", "2026-01-01", 7)) == ["2026-01-01", 7]


async def test_a_cursor_counts_in_the_list_that_it_was_given_for_and_nowhere_else(
    client: httpx.AsyncClient, trust: Trust
) -> None:
    here, there = new_id("ws"), new_id("ws")
    may = ["notes.read", "notes.write"]
    headers = {one: trust.user("dns", workspace_id=one, permissions=may) for one in (here, there)}
    paths = {one: f"/v1/workspaces/{one}/notes" for one in (here, there)}
    for number_ in range(3):
        await client.post(paths[here], headers=headers[here] | key(), json={"text": str(number_)})

    async def listed(one: str, **query: str) -> httpx.Response:
        return await client.get(paths[one], headers=headers[one], params=query)

    cursor = (await listed(here, limit="1")).json()["next_cursor"]
    assert (await listed(here, cursor=cursor, limit="2")).status_code == 200  # another size is the same list
    for answer in (
        await listed(there, cursor=cursor),
        await listed(here, cursor=cursor, topic="mail"),
    ):
        assert answer.status_code == 422
        assert answer.json()["code"] == "cursor_refused"


@pytest.mark.parametrize("after", [["x"], ["x", "y"], ["2026-11-23T00:00:00", "y"], [1, "y"], ["a\0", "y"]])
def test_a_place_that_is_none_is_refused_also_in_a_cursor_made_up_for_the_list(
    after: list[str | int],
) -> None:
    with pytest.raises(CursorRefused):
        PageRequest(10, after, "list").after_moment()


async def test_a_stream_sends_heartbeats_and_ids() -> None:
    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent("7", "step", {"name": "boot"})
        await asyncio.sleep(0.1)
        yield ServerSentEvent("8", "job", "two\nlines")

    chunks = [chunk async for chunk in event_stream(events(), heartbeat=0.03).body_iterator]
    whole = b"".join(chunk.encode() if isinstance(chunk, str) else bytes(chunk) for chunk in chunks).decode()
    assert 'id: 7\nevent: step\ndata: {"name":"boot"}\n\n' in whole
    assert ": heartbeat\n\n" in whole
    assert "id: 8\nevent: job\ndata: two\ndata: lines\n\n" in whole
