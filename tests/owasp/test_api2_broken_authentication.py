"""API2:2023 Broken Authentication: nothing but the right credential, in the right place, and not for the guessing.

Forged tokens: `tests/gateway/test_forged_tokens.py`. Sign-in, sessions and the second factor: `tests/auth`.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import httpx

from services.auth.second_factor import totp
from shared.clock import SystemClock
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.owasp.front import Front, front

PASSWORD = "a long sentence nobody says"
MARKED = {"X-SC-CSRF": "1", "Origin": "https://localhost"}


async def sign_in(stage: Front, email: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    body = {"email": email, "password": password, **more}
    return await stage.client.post("/v1/auth/sessions", json=body)


async def test_a_token_counts_only_in_the_authorization_header(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    basic = base64.b64encode(f"{token}:".encode()).decode()
    places: list[tuple[str, dict[str, str]]] = [
        (f"?access_token={token}", {}),
        (f"?token={token}", {}),
        ("", {"Cookie": f"access_token={token}; __Host-sc_rt={token}"}),
        ("", {"Authorization": f"Basic {basic}"}),
        ("", {"Authorization": token}),
        ("", {"Authorization": f"Token {token}"}),
        ("", {"X-Access-Token": token, "X-Api-Key": token}),
        ("", {"Proxy-Authorization": f"Bearer {token}"}),
    ]
    for query, headers in places:
        answer = await stage.client.get(f"/v1/me{query}", headers=headers)
        assert answer.status_code in (400, 401), (query, list(headers))
    assert (await stage.ask(token, "GET", "/v1/me")).status_code == 200


async def test_other_things_of_ours_are_no_access_tokens(stage: Front) -> None:
    a = stage.world.a
    _, email = await stage.with_password(PASSWORD)
    refresh = (await sign_in(stage, email)).cookies["__Host-sc_rt"]
    stage.client.cookies.clear()
    inner = stage.world.trust.user("auth", account_id=a.account_id)["X-SC-Identity"]
    own = stage.world.trust.service("gateway", "auth")["X-SC-Identity"]
    for credential in (refresh, inner, own, a.account_id, "null", "undefined", "", "e30.e30.", "sc_live_"):
        answer = await stage.client.get("/v1/me", headers={"Authorization": f"Bearer {credential}"})
        assert answer.status_code == 401, credential
    cookie = {"Cookie": f"__Host-sc_rt={await stage.owner(a)}", **MARKED}
    assert (await stage.client.post("/v1/auth/sessions/refresh", headers=cookie)).status_code in (401, 422)


async def test_guessing_a_password_is_slowed_down_and_known_and_unknown_addresses_look_alike(
    stage: Front,
) -> None:
    _, email = await stage.with_password(PASSWORD)
    seen = []
    for address in (email, f"{new_id('usr')}@people.test"):
        answers = [await sign_in(stage, address, f"guess number {number}") for number in range(5)]
        bodies = [{k: v for k, v in answer.json().items() if k != "instance"} for answer in answers]
        seen.append([(answer.status_code, body) for answer, body in zip(answers, bodies, strict=True)])
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
    assert seen[0] == seen[1]


async def test_a_flood_of_sign_ins_from_one_address_stops_at_the_gateway(
    service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> None:
    """A password costs 20 ms of hashing: whoever asks for many does not get them."""
    async with front(service_database, trust, tmp_path, rate_limit_public=60) as stage:
        answers = await asyncio.gather(
            *(sign_in(stage, f"{number}@people.test", "whatever it may be") for number in range(40))
        )
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(401) <= 13  # 60 units a minute, 5 a try, and what drips in meanwhile
        assert set(statuses) <= {401, 429}


async def test_what_was_signed_out_is_signed_out_everywhere(stage: Front) -> None:
    _, email = await stage.with_password(PASSWORD)
    signed_in = await sign_in(stage, email)
    token = signed_in.json()["access_token"]
    assert (await stage.ask(token, "DELETE", "/v1/auth/sessions/current")).status_code == 204
    await stage.learn()
    assert (await stage.ask(token, "GET", "/v1/me")).status_code == 401
    stage.client.cookies.clear()
    cookie = {"Cookie": f"__Host-sc_rt={signed_in.cookies['__Host-sc_rt']}", **MARKED}
    assert (await stage.client.post("/v1/auth/sessions/refresh", headers=cookie)).status_code == 401


async def test_the_second_factor_cannot_be_gone_round(stage: Front) -> None:
    """Neither by leaving the code out, nor by any spelling of nothing, nor by turning it off with the password."""
    _, email = await stage.with_password(PASSWORD)
    token = (await sign_in(stage, email)).json()["access_token"]
    started = await stage.ask(token, "POST", "/v1/me/second-factor", {"password": PASSWORD})
    code = totp.code_at(base64.b32decode(started.json()["secret"]), SystemClock().now())
    confirmed = await stage.ask(token, "POST", "/v1/me/second-factor/confirm", {"code": code})
    assert confirmed.status_code == 200, confirmed.text
    for code in ("", "0", "null", "000000", " " * 6, "'or'1'='1", confirmed.json()["recovery_codes"][0][:-1]):
        assert (await sign_in(stage, email, code=code)).status_code in (401, 422, 429), code
    assert (await sign_in(stage, email)).status_code == 401
    body = {"email": email, "password": PASSWORD, "code": None}
    assert (await stage.client.post("/v1/auth/sessions", json=body)).status_code == 401
    off = await stage.ask(token, "DELETE", "/v1/me/second-factor", {"password": PASSWORD})
    assert (off.status_code, off.json()["code"]) == (401, "second_factor_required")


async def test_a_change_of_credentials_wants_the_password_that_is_there(stage: Front) -> None:
    """Somebody else's open session is not enough to take the account over."""
    account_id, _ = await stage.with_password(PASSWORD)
    token = await stage.token(account_id)
    new = "another long sentence nobody says"
    attempts = [
        ("POST", "/v1/me/password", {"new_password": new}),
        ("POST", "/v1/me/password", {"current_password": "", "new_password": new}),
        ("POST", "/v1/me/password", {"current_password": "not this one", "new_password": new}),
        ("POST", "/v1/me/second-factor", {}),
        ("POST", "/v1/me/second-factor", {"password": "not this one"}),
        ("POST", "/v1/auth/sessions/current/step-up", {"password": "not this one"}),
    ]
    for method, path, body in attempts:
        answer = await stage.ask(token, method, path, body)
        assert answer.status_code in (401, 422, 429), (path, body)


async def test_weak_passwords_are_refused_at_the_door(stage: Front) -> None:
    for weak in (
        "password",
        "passwordpassword",
        "sendchief2026!",
        "qwertyuiopasdf",
        "aaaaaaaaaaaaaaaa",
        "short",
    ):
        body = {"email": f"{new_id('usr')}@people.test", "password": weak, "name": "Eve"}
        answer = await stage.client.post("/v1/auth/signup", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "password_refused"), weak
