"""A person's own sessions: seen, ended one by one, ended all but one."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from services.auth.client import Client, device_of
from shared.contracts.auth_events import SessionRevoked
from shared.ids import new_id
from tests.auth.stage import PASSWORD, Person, Stage, seconds, unverified

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile Safari/604.1"


async def sign_in(auth: Stage, person: Person, user_agent: str = FIREFOX) -> tuple[str, str]:
    """Session id and refresh token."""
    auth.client.cookies.clear()
    answer = await auth.client.post(
        "/v1/auth/sessions",
        json={"email": person.email, "password": PASSWORD},
        headers={"User-Agent": user_agent},
    )
    assert answer.status_code == 201, answer.text
    return unverified(answer.json()["access_token"])["sid"], answer.cookies["__Host-sc_rt"]


async def refresh(auth: Stage, token: str) -> httpx.Response:
    auth.client.cookies.clear()
    headers = {"X-SC-CSRF": "1", "Cookie": f"__Host-sc_rt={token}"}
    return await auth.client.post("/v1/auth/sessions/refresh", headers=headers)


async def listed(auth: Stage, person: Person, session_id: str) -> list[dict[str, Any]]:
    headers = auth.as_user(person.id, session_id=session_id)
    answer = await auth.client.get("/v1/auth/sessions", headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_the_list_says_which_device_where_when_and_which_one_asks(auth: Stage) -> None:
    person = await auth.person()
    auth.clock.advance(seconds(3600))
    phone, _ = await sign_in(auth, person, SAFARI)
    found = {item["id"]: item for item in await listed(auth, person, phone)}
    assert set(found) == {person.session_id, phone}
    assert found[phone]["device"] == "Safari on iPhone"
    assert found[phone]["network"].startswith("2001:db8:")
    assert found[phone]["network"].endswith("::/48")
    assert [item["current"] for item in found.values()].count(True) == 1
    assert found[phone]["current"]
    assert found[person.session_id]["signed_in_at"] < found[phone]["signed_in_at"]


async def test_a_refresh_is_a_use(auth: Stage) -> None:
    person = await auth.person()
    session_id, token = await sign_in(auth, person)
    auth.clock.advance(seconds(7200))
    await refresh(auth, token)
    found = {item["id"]: item for item in await listed(auth, person, session_id)}
    assert found[session_id]["last_used_at"] > found[session_id]["signed_in_at"]


async def test_sessions_that_are_over_and_those_of_others_are_not_listed(auth: Stage) -> None:
    person, other = await auth.person(), await auth.person()
    auth.clock.advance(seconds(8 * 24 * 3600))
    fresh, _ = await sign_in(auth, person)
    assert [item["id"] for item in await listed(auth, person, fresh)] == [fresh]
    assert await listed(auth, other, other.session_id) == []


@pytest.mark.asvs("7.5.2", "10.4.9")
async def test_one_session_is_ended_and_the_gateways_hear_of_it(auth: Stage) -> None:
    person = await auth.person()
    ended, token = await sign_in(auth, person)
    headers = auth.as_user(person.id, session_id=person.session_id)
    answer = await auth.client.delete(f"/v1/auth/sessions/{ended}", headers=headers)
    assert answer.status_code == 204
    assert (await refresh(auth, token)).status_code == 401
    assert [event.session_id for event in await auth.bus.emitted(SessionRevoked)].count(ended) == 1
    assert [item["id"] for item in await listed(auth, person, person.session_id)] == [person.session_id]
    again = await auth.client.delete(f"/v1/auth/sessions/{ended}", headers=headers)
    assert again.status_code == 404


async def test_a_session_of_somebody_else_does_not_exist(auth: Stage) -> None:
    person, other = await auth.person(), await auth.person()
    answers = [
        await auth.client.delete(f"/v1/auth/sessions/{session_id}", headers=auth.as_user(person.id))
        for session_id in (other.session_id, new_id("ses"))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert len(await listed(auth, other, other.session_id)) == 1


async def test_all_others_are_ended_and_the_one_that_asks_goes_on(auth: Stage) -> None:
    person = await auth.person()
    others = [await sign_in(auth, person) for _ in range(3)]
    mine, token = await sign_in(auth, person)
    headers = auth.as_user(person.id, session_id=mine)
    answer = await auth.client.delete("/v1/auth/sessions", headers=headers)
    assert answer.json() == {"ended": 4}
    for _, theirs in others:
        assert (await refresh(auth, theirs)).status_code == 401
    assert (await refresh(auth, token)).status_code == 200
    assert (await auth.client.delete("/v1/auth/sessions", headers=headers)).json() == {"ended": 0}


@pytest.mark.asvs("7.5.2")
@pytest.mark.parametrize("path", ["/v1/auth/sessions", "/v1/auth/sessions/ses_" + "0" * 32])
async def test_ending_sessions_needs_a_password_shown_lately(auth: Stage, path: str) -> None:
    headers = auth.as_user(new_id("usr"), auth_time=int(time.time()) - 901)
    answer = await auth.client.delete(path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "step_up_required")


async def test_a_key_sees_no_sessions(auth: Stage) -> None:
    headers = auth.trust.api_key("auth", workspace_id=new_id("ws"))
    assert (await auth.client.get("/v1/auth/sessions", headers=headers)).status_code == 403


async def test_what_a_person_does_to_his_sessions_is_on_his_record(auth: Stage) -> None:
    person, other = await auth.person(), await auth.person()
    ended, _ = await sign_in(auth, person)
    headers = auth.as_user(person.id, session_id=person.session_id, client_ip="198.51.100.77")
    auth.clock.advance(seconds(1))  # events of one millisecond are in no order
    await auth.client.delete(f"/v1/auth/sessions/{ended}", headers=headers)
    events = (await auth.client.get("/v1/me/security-events", headers=headers)).json()["items"]
    assert events[0]["kind"] == "session_ended"
    assert events[0]["network"] == "198.51.100.0/24"
    theirs = await auth.client.get("/v1/me/security-events", headers=auth.as_user(other.id))
    assert theirs.json()["items"] == []


async def test_a_refresh_token_used_twice_is_on_record_and_in_the_mail(auth: Stage) -> None:
    person = await auth.person()
    session_id, first = await sign_in(auth, person)
    await refresh(auth, first)
    auth.clock.advance(seconds(11))
    assert (await refresh(auth, first)).status_code == 401
    await auth.send_mail()
    assert auth.mail.last_to(person.email).kind == "refresh_token_reused"
    headers = auth.as_user(person.id, session_id=session_id)
    events = (await auth.client.get("/v1/me/security-events", headers=headers)).json()["items"]
    assert events[0]["kind"] == "refresh_token_reused"


async def test_the_record_cannot_be_changed_by_the_api(auth: Stage) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    for statement in ("delete from security_event", "update security_event set kind = 'x'"):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with auth.app_database.transaction(account_id=new_id("usr")) as session:
                await session.execute(text(statement))


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/142.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("<script>alert(1)</script>", "an unknown program"),
        (None, "an unknown program"),
    ],
)
def test_a_device_is_told_in_words_of_ours(user_agent: str | None, device: str) -> None:
    assert device_of(user_agent) == device


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("198.51.100.77", "198.51.100.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        (None, "an unknown network"),
        ("nonsense", "an unknown network"),
    ],
)
def test_of_an_address_the_network_is_kept(ip: str | None, network: str) -> None:
    assert Client(ip).network == network
