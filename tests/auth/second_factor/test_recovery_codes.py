"""Recovery codes: each signs in once, and new ones make the old ones worthless."""

from __future__ import annotations

import pytest

from tests.auth.second_factor.authenticator import FACTOR, WRONG, App
from tests.auth.stage import PASSWORD, Stage, unverified


@pytest.mark.asvs("6.5.1")
async def test_a_recovery_code_signs_in_once_and_a_mail_says_so(app: App) -> None:
    code = app.recovery_codes[3]
    answer = await app.sign_in(code.lower().replace("-", " "))
    assert answer.status_code == 201
    assert unverified(answer.json()["access_token"])["amr"] == ["pwd", "otp", "mfa"]
    assert (await app.sign_in(code)).status_code == 401
    assert await app.mails("A recovery code was used") == 1
    assert (await app.ask("GET", FACTOR)).json()["recovery_codes_left"] == 9


async def test_all_ten_recovery_codes_work(app: App) -> None:
    assert [(await app.sign_in(code)).status_code for code in app.recovery_codes] == [201] * 10
    assert (await app.ask("GET", FACTOR)).json()["recovery_codes_left"] == 0


async def test_a_recovery_code_with_one_wrong_character_is_refused(app: App) -> None:
    code = app.recovery_codes[0]
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    unknown_handle = "ZZ" + code[2:] if not code.startswith("ZZ") else "YY" + code[2:]
    for guess in (wrong, unknown_handle):
        assert (await app.sign_in(guess)).status_code == 401


async def test_new_recovery_codes_make_the_old_ones_worthless(app: App) -> None:
    answer = await app.ask("POST", f"{FACTOR}/recovery-codes", password=PASSWORD, code=app.next_code())
    assert answer.status_code == 200
    assert (await app.sign_in(app.recovery_codes[0])).status_code == 401
    assert (await app.sign_in(answer.json()["recovery_codes"][0])).status_code == 201
    assert await app.mails("You have new recovery codes") == 1


@pytest.mark.parametrize(
    "body", [{"password": "another one entirely"}, {"password": PASSWORD, "code": WRONG}]
)
async def test_new_recovery_codes_ask_for_password_and_code(app: App, body: dict[str, str]) -> None:
    body = {"code": app.next_code(), **body}
    assert (await app.ask("POST", f"{FACTOR}/recovery-codes", **body)).status_code == 401
    assert (await app.sign_in(app.recovery_codes[0])).status_code == 201


async def test_without_a_factor_there_are_no_recovery_codes(auth: Stage) -> None:
    app = App(auth, await auth.person(), b"", [])
    answer = await app.ask("POST", f"{FACTOR}/recovery-codes", password=PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (409, "second_factor_off")
