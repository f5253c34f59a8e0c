"""Sign-in, refresh, sign-out."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from shared.contracts.auth_events import SessionRevoked
from shared.identity import HEADER, StrictVerifier
from tests.auth.stage import PASSWORD, Person, Stage, from_address, seconds, unverified

CSRF = {"X-SC-CSRF": "1"}


def cookie_of(answer: httpx.Response) -> str:
    return answer.cookies["__Host-sc_rt"]


async def sign_in(auth: Stage, person: Person, password: str = PASSWORD) -> httpx.Response:
    auth.client.cookies.clear()
    return await auth.client.post("/v1/auth/sessions", json={"email": person.email, "password": password})


async def refresh(auth: Stage, token: str, **headers: str) -> httpx.Response:
    auth.client.cookies.clear()
    return await auth.client.post(
        "/v1/auth/sessions/refresh", headers={**CSRF, **headers, "Cookie": f"__Host-sc_rt={token}"}
    )


@pytest.mark.asvs("10.3.3")
async def test_an_access_token_says_who_and_when_but_no_role_and_no_workspace(auth: Stage) -> None:
    person = await auth.person()
    claims = unverified(person.access_token)
    assert set(claims) == {
        *("iss", "aud", "sub", "sid", "jti", "ver", "amr", "auth_time"), *("iat", "nbf", "exp"),
    }  # fmt: skip
    assert claims["exp"] - claims["iat"] == 600
    assert (claims["nbf"], claims["ver"]) == (claims["iat"], 1)


@pytest.mark.asvs("7.2.1")
async def test_the_jwks_verifies_an_access_token(auth: Stage) -> None:
    from gateway.keys import pem_of

    person = await auth.person()
    keys = (await auth.client.get("/v1/auth/jwks")).json()["keys"]
    verifier = StrictVerifier(
        {key["kid"]: pem_of(key) for key in keys},
        "https://sendchief.test",
        "sendchief-api",
        "at+jwt",
        clock=auth.clock,
    )
    assert verifier.verify(person.access_token)["sub"] == person.id


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4")
async def test_the_refresh_cookie_is_host_bound_and_out_of_reach_of_scripts(auth: Stage) -> None:
    answer = await sign_in(auth, await auth.person())
    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)
    assert answer.headers["set-cookie"].startswith("__Host-sc_rt=sc_rt_")


async def test_wrong_password_and_unknown_address_answer_alike(auth: Stage) -> None:
    person = await auth.person()
    wrong = (await sign_in(auth, person, "not the password at all")).json()
    unknown = await auth.client.post(
        "/v1/auth/sessions", json={"email": "who@people.test", "password": "not the password at all"}
    )
    bodies: list[dict[str, Any]] = [wrong, unknown.json()]
    for body in bodies:
        body.pop("instance")
    assert bodies[0] == bodies[1]


@pytest.mark.asvs("6.3.1")
async def test_failed_sign_ins_are_delayed_more_and_more_and_then_forgotten(auth: Stage) -> None:
    person = await auth.person()
    statuses = [(await sign_in(auth, person, "wrong wrong wrong")).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    auth.clock.advance(seconds(1))
    assert (await sign_in(auth, person, "wrong wrong wrong")).status_code == 401
    delayed = await sign_in(auth, person)
    assert delayed.status_code == 429
    assert delayed.headers["retry-after"] == "2"
    auth.clock.advance(seconds(2))
    assert (await sign_in(auth, person)).status_code == 201
    assert (await sign_in(auth, person, "wrong wrong wrong")).status_code == 401


@pytest.mark.asvs("15.2.2")
async def test_many_tries_at_once_do_not_slip_past_the_delay(auth: Stage) -> None:
    person = await auth.person()
    answers = await asyncio.gather(*(sign_in(auth, person, "wrong wrong wrong") for _ in range(10)))
    assert sum(answer.status_code == 401 for answer in answers) == 3


async def test_a_stranger_from_elsewhere_delays_the_owner_by_seconds_at_most(auth: Stage) -> None:
    person = await auth.person()
    for number in range(40):
        headers = {HEADER: from_address(auth.trust, f"198.51.100.{number}")}
        await auth.client.post(
            "/v1/auth/sessions",
            json={"email": person.email, "password": f"guess number {number}"},
            headers=headers,
        )
    auth.clock.advance(seconds(5))
    assert (await sign_in(auth, person)).status_code == 201


@pytest.mark.asvs("7.2.2", "7.2.4")
async def test_a_refresh_token_is_exchanged_for_its_successor(auth: Stage) -> None:
    first = cookie_of(await sign_in(auth, await auth.person()))
    answer = await refresh(auth, first)
    assert answer.status_code == 200
    assert cookie_of(answer) != first
    assert (await refresh(auth, cookie_of(answer))).status_code == 200


async def test_fifty_refreshes_at_once_get_one_successor(auth: Stage) -> None:
    first = cookie_of(await sign_in(auth, await auth.person()))
    answers = await asyncio.gather(*(refresh(auth, first) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({cookie_of(answer) for answer in answers}) == 1


async def test_a_lost_answer_is_repeated_within_ten_seconds(auth: Stage) -> None:
    first = cookie_of(await sign_in(auth, await auth.person()))
    successor = cookie_of(await refresh(auth, first))
    auth.clock.advance(seconds(10))
    assert cookie_of(await refresh(auth, first)) == successor


@pytest.mark.asvs("10.4.5")
async def test_a_token_used_again_later_ends_the_family(auth: Stage) -> None:
    person = await auth.person()
    signed_in = await sign_in(auth, person)
    session_id = unverified(signed_in.json()["access_token"])["sid"]
    first = cookie_of(signed_in)
    successor = cookie_of(await refresh(auth, first))
    auth.clock.advance(seconds(11))
    assert (await refresh(auth, first)).status_code == 401
    assert (await refresh(auth, successor)).status_code == 401
    revoked = await auth.bus.emitted(SessionRevoked)
    assert [event.session_id for event in revoked].count(session_id) == 1


@pytest.mark.asvs("7.3.1", "7.3.2", "10.4.8")
async def test_an_idle_session_ends_after_a_week_and_any_after_thirty_days(auth: Stage) -> None:
    token = cookie_of(await sign_in(auth, await auth.person()))
    auth.clock.advance(seconds(7 * 24 * 3600))
    assert (await refresh(auth, token)).status_code == 401
    token = cookie_of(await sign_in(auth, await auth.person()))
    for _ in range(4):
        auth.clock.advance(seconds(6.9 * 24 * 3600))
        token = cookie_of(await refresh(auth, token))
    auth.clock.advance(seconds(3 * 24 * 3600))
    assert (await refresh(auth, token)).status_code == 401


@pytest.mark.asvs("7.4.1")
async def test_signing_out_ends_the_session_and_tells_the_gateways(auth: Stage) -> None:
    person = await auth.person()
    signed_in = await sign_in(auth, person)
    claims = unverified(signed_in.json()["access_token"])
    answer = await auth.client.delete(
        "/v1/auth/sessions/current", headers=auth.as_user(person.id, session_id=claims["sid"])
    )
    assert answer.status_code == 204
    assert (await refresh(auth, cookie_of(signed_in))).status_code == 401
    assert claims["sid"] in [event.session_id for event in await auth.bus.emitted(SessionRevoked)]


@pytest.mark.asvs("3.5.1")
@pytest.mark.parametrize(
    "headers",
    [
        {"X-SC-CSRF": "0"},
        {"X-SC-CSRF": ""},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_use_the_cookie(auth: Stage, headers: dict[str, str]) -> None:
    token = cookie_of(await sign_in(auth, await auth.person()))
    assert (await refresh(auth, token, **headers)).status_code == 403
    assert (await refresh(auth, token, Origin="https://sendchief.test")).status_code == 200


@pytest.mark.asvs("7.2.3")
@pytest.mark.parametrize("token", ["", "sc_rt_", "sc_rt_" + "A" * 43, "x" * 128])
async def test_what_is_no_refresh_token_is_refused(auth: Stage, token: str) -> None:
    assert (await refresh(auth, token)).status_code == 401


async def test_refresh_tokens_are_not_in_the_database(auth: Stage) -> None:
    from sqlalchemy import text

    token = cookie_of(await sign_in(auth, await auth.person()))
    await refresh(auth, token)
    async with auth.worker.database.transaction() as session:
        rows = (await session.execute(text("select t::text from refresh_token t"))).scalars().all()
    assert rows
    assert not any(token.encode().hex() in row or token in row for row in rows)
