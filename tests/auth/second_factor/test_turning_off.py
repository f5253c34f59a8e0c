"""Turning the second factor off, by its owner or by an operator, and what does not turn it off."""

from __future__ import annotations

import pytest

from services.auth.admin import second_factor_off
from tests.auth.second_factor.authenticator import FACTOR, WRONG, App
from tests.auth.stage import PASSWORD, seconds
from tests.auth.test_sessions import cookie_of, refresh


async def test_turned_off_the_password_is_enough_again(app: App) -> None:
    assert (await app.ask("DELETE", FACTOR, password=PASSWORD, code=app.next_code())).status_code == 204
    assert (await app.sign_in()).status_code == 201
    assert (await app.sign_in(app.recovery_codes[0])).status_code == 201  # a code that nobody asks for
    assert (await app.ask("GET", FACTOR)).json()["state"] == "off"
    assert await app.mails("The second factor is off") == 1


@pytest.mark.asvs("7.5.1")
@pytest.mark.parametrize(
    ("password", "code", "refusal"),
    [
        ("another one entirely", "", "sign_in_failed"),
        (PASSWORD, WRONG, "code_refused"),
        (PASSWORD, None, "second_factor_required"),
    ],
)
async def test_turning_it_off_asks_for_password_and_code(
    app: App, password: str, code: str | None, refusal: str
) -> None:
    shown = app.next_code() if code == "" else code
    body = {"password": password} | ({"code": shown} if shown else {})
    answer = await app.ask("DELETE", FACTOR, **body)
    assert (answer.status_code, answer.json()["code"]) == (401, refusal)
    assert (await app.ask("GET", FACTOR)).json()["state"] == "on"


async def test_a_factor_that_is_on_is_not_replaced_without_turning_it_off(app: App) -> None:
    answer = await app.ask("POST", FACTOR, password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (409, "second_factor_on")
    again = await app.ask("POST", f"{FACTOR}/confirm", code=app.next_code())
    assert (again.status_code, again.json()["code"]) == (409, "second_factor_on")


async def test_each_change_is_on_the_person_s_record(app: App) -> None:
    await app.sign_in(app.recovery_codes[0])
    await app.ask("POST", f"{FACTOR}/recovery-codes", password=PASSWORD, code=app.next_code())
    for _ in range(5):
        await app.sign_in(WRONG)
    app.auth.clock.advance(seconds(60))
    await app.ask("DELETE", FACTOR, password=PASSWORD, code=app.next_code())
    record = (await app.ask("GET", "/v1/me/security-events")).json()["items"]
    assert {item["kind"] for item in record} >= {
        "second_factor_on",
        "recovery_code_used",
        "recovery_codes_replaced",
        "code_guessed",
        "second_factor_off",
    }


@pytest.mark.asvs("6.4.3")
async def test_a_password_that_is_set_anew_by_mail_does_not_turn_it_off(app: App) -> None:
    asked = await app.auth.client.post("/v1/auth/password-reset", json={"email": app.person.email})
    assert asked.status_code == 202
    await app.auth.send_mail()
    new = "another sentence that nobody says"
    body = {"token": app.auth.link_token(app.person.email), "password": new}
    assert (await app.auth.client.post("/v1/auth/password-reset/complete", json=body)).status_code == 200
    assert (await app.sign_in(password=new)).json()["code"] == "second_factor_required"
    assert (await app.sign_in(app.next_code(), new)).status_code == 201


async def test_an_operator_turns_it_off_for_good_and_everybody_hears_of_it(app: App) -> None:
    signed_in = await app.sign_in(app.next_code())
    assert await second_factor_off(app.auth.app_database, app.auth.clock, app.person.email.upper())
    assert (await refresh(app.auth, cookie_of(signed_in))).status_code == 401
    assert (await app.sign_in()).status_code == 201
    assert await app.mails("The second factor is off") == 1
    record = (await app.ask("GET", "/v1/me/security-events")).json()["items"]
    assert ("second_factor_off", "our support, at your request") in {
        (item["kind"], item["device"]) for item in record
    }
    assert not await second_factor_off(app.auth.app_database, app.auth.clock, app.person.email)
    assert not await second_factor_off(app.auth.app_database, app.auth.clock, "nobody@people.test")
