"""Who may use a route: permissions, identities, fresh sign-ins, and what others are answered."""

import json
import time
from typing import Any

import httpx

from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.shared.web.notes import NOTES, A, B


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
