"""Fresh sign-ins, with the code where there is a factor."""

from __future__ import annotations

import pytest

from tests.auth.second_factor.authenticator import STEP_UP, App
from tests.auth.stage import PASSWORD, Stage, seconds, unverified
from tests.auth.test_sessions import cookie_of, refresh


@pytest.mark.asvs("7.2.4")
async def test_a_step_up_makes_the_session_fresh_and_lasts_through_a_refresh(auth: Stage) -> None:
    app = App(auth, await auth.person(), b"", [])
    signed_in = await app.sign_in()
    before = unverified(signed_in.json()["access_token"])
    auth.clock.advance(seconds(3600))
    answer = await app.ask("POST", STEP_UP, before["sid"], password=PASSWORD)
    assert answer.status_code == 200
    after = unverified(answer.json()["access_token"])
    assert (after["sid"], after["auth_time"] - before["auth_time"]) == (before["sid"], 3600)
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    refreshed = await refresh(auth, cookie_of(signed_in))
    assert unverified(refreshed.json()["access_token"])["auth_time"] == after["auth_time"]


async def test_a_step_up_asks_for_the_code_where_there_is_a_factor(app: App) -> None:
    missing = await app.ask("POST", STEP_UP, password=PASSWORD)
    assert (missing.status_code, missing.json()["code"]) == (401, "second_factor_required")
    code = app.next_code()
    given = await app.ask("POST", STEP_UP, password=PASSWORD, code=code)
    assert unverified(given.json()["access_token"])["amr"] == ["pwd", "otp", "mfa"]
    assert (await app.ask("POST", STEP_UP, password=PASSWORD, code=code)).status_code == 401


async def test_a_step_up_with_a_wrong_password_leaves_the_session_as_it_was(auth: Stage) -> None:
    app = App(auth, await auth.person(), b"", [])
    signed_in = await app.sign_in()
    before = unverified(signed_in.json()["access_token"])
    auth.clock.advance(seconds(3600))
    wrong = await app.ask("POST", STEP_UP, before["sid"], password="another one entirely")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "sign_in_failed")
    refreshed = await refresh(auth, cookie_of(signed_in))
    assert unverified(refreshed.json()["access_token"])["auth_time"] == before["auth_time"]


async def test_a_session_that_has_ended_cannot_be_made_fresh(auth: Stage) -> None:
    app = App(auth, await auth.person(), b"", [])
    assert (await app.ask("DELETE", "/v1/auth/sessions/current")).status_code == 204
    answer = await app.ask("POST", STEP_UP, password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")


async def test_nobody_makes_another_person_s_session_fresh(auth: Stage) -> None:
    app, other = App(auth, await auth.person(), b"", []), await auth.person()
    answer = await app.ask("POST", STEP_UP, other.session_id, password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")
