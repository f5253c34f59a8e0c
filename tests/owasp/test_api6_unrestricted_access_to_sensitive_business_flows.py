"""API6:2023 Unrestricted Access to Sensitive Business Flows: what hurts in quantity has an end, what
cannot be undone is asked for twice.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from shared.ids import new_id
from tests.isolation.cases import TABLE
from tests.owasp.front import Front, W

STEPPED_UP = {
    f"DELETE {W}",
    f"POST {W}/transfer",
    f"POST {W}/exports",
    f"POST {W}/mailboxes/{{mailbox_id}}/reveal",
}
"""By hand: these give everything away or end it. The table may ask for more, never for less."""
TWENTY_MINUTES = 1200


def test_what_cannot_be_undone_asks_for_a_fresh_sign_in() -> None:
    asked = {f"{route.method} {route.path}" for route in TABLE.routes if route.step_up}
    assert asked >= STEPPED_UP
    assert all(route.step_up <= 900 for route in TABLE.routes if route.step_up)


async def test_an_open_browser_of_twenty_minutes_ago_is_not_enough_for_any_of_them(stage: Front) -> None:
    a = stage.world.a
    stale = await stage.token(a.account_id, signed_in_ago=TWENTY_MINUTES)
    for route in TABLE.routes:
        if route.step_up is None or route.access != "workspace":
            continue
        path, body = await stage.request_of(f"{route.method} {route.path}", a)
        answer = await stage.ask(stale, route.method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (401, "step_up_required"), path
        assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
    fresh = await stage.owner(a)
    assert (await stage.ask(fresh, "GET", f"/v1/workspaces/{a.workspace_id}")).json()["state"] == "active"


async def test_a_key_of_a_partner_does_none_of_them(stage: Front) -> None:
    a = stage.world.a
    scopes = sorted({route.scope for route in TABLE.routes if route.scope and ":" in route.scope})
    made = await stage.ask(
        await stage.owner(a),
        "POST",
        f"/v1/workspaces/{a.workspace_id}/api-keys",
        {"name": "k", "scopes": scopes},
    )
    for name in sorted(STEPPED_UP):
        path, body = await stage.request_of(name, a)
        answer = await stage.ask(made.json()["key"], name.split(" ")[0], path, body)
        assert answer.status_code == 403, name


async def test_workspaces_of_one_person_have_an_end_however_many_are_asked_for_at_once(stage: Front) -> None:
    token = await stage.token(await stage.person())
    answers = await asyncio.gather(
        *(stage.ask(token, "POST", "/v1/workspaces", {"name": f"W {number}"}) for number in range(40))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    mine = (await stage.ask(token, "GET", "/v1/workspaces?limit=100")).json()["items"]
    assert len(mine) <= 20


async def test_nobody_s_mailbox_is_flooded_by_signing_him_up(stage: Front) -> None:
    email = f"{new_id('usr')}@people.test"
    body = {"email": email, "password": "a long sentence nobody says", "name": "Eve"}
    answers = await asyncio.gather(*(stage.client.post("/v1/auth/signup", json=body) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {202}
    assert await mails_about(stage, "signup", email) <= 5


async def test_nobody_s_mailbox_is_flooded_by_resets_of_his_password(stage: Front) -> None:
    email = f"{await stage.person()}@people.test"
    await asyncio.gather(
        *(stage.client.post("/v1/auth/password-reset", json={"email": email}) for _ in range(20))
    )
    assert await mails_about(stage, "password_reset", email) == 1


async def test_an_address_has_one_open_invitation_of_a_workspace(stage: Front) -> None:
    a = stage.world.a
    token = await stage.owner(a)
    body = {"email": f"{new_id('usr')}@people.test"}
    answers = await asyncio.gather(
        *(stage.ask(token, "POST", f"/v1/workspaces/{a.workspace_id}/invitations", body) for _ in range(20))
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 409}


async def test_a_request_that_is_repeated_makes_one_thing(stage: Front) -> None:
    """A client that is not sure asks again: twenty times at once, with one Idempotency-Key."""
    a = stage.world.a
    token = await stage.owner(a)
    path = f"/v1/workspaces/{a.workspace_id}/api-keys"
    body = {"name": f"once {new_id('evt')}", "scopes": ["servers:read"]}
    answers = await asyncio.gather(
        *(stage.ask(token, "POST", path, body, Idempotency_Key="the-one") for _ in range(20))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    listed = (await stage.ask(token, "GET", f"{path}?limit=100")).json()["items"]
    assert [item["name"] for item in listed].count(body["name"]) == 1


async def mails_about(stage: Front, table: str, email: str) -> int:
    async with stage.world.databases["auth"].transaction() as session:
        statement = text(
            f"select count(*) from notification n join {table} r on r.id = n.reference where r.email = :email"  # noqa: S608
        )
        return int((await session.execute(statement, {"email": email})).scalar_one())
