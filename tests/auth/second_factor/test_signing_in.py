"""Signing in with codes: each counts once, guesses are delayed, and a new sealing key takes over."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from services.auth.client import Client
from services.auth.sealing import Sealing
from tests.auth.second_factor.authenticator import FACTOR, STEP_UP, WRONG, App, factors_of, redeemed
from tests.auth.stage import PASSWORD, seconds, unverified


async def test_the_password_alone_is_answered_with_what_is_missing(app: App) -> None:
    answer = await app.sign_in()
    assert (answer.status_code, answer.json()["code"]) == (401, "second_factor_required")
    assert answer.json()["errors"][0]["field"] == "code"
    assert "set-cookie" not in answer.headers


async def test_password_and_code_sign_in_and_the_token_says_so(app: App) -> None:
    answer = await app.sign_in(app.next_code())
    assert answer.status_code == 201
    assert unverified(answer.json()["access_token"])["amr"] == ["pwd", "otp", "mfa"]


async def test_a_wrong_password_is_answered_alike_with_and_without_a_code(app: App) -> None:
    answers = [await app.sign_in(code, "another one entirely") for code in (None, app.next_code())]
    assert [answer.json()["code"] for answer in answers] == ["sign_in_failed"] * 2


@pytest.mark.asvs("6.5.1")
async def test_a_code_counts_once(app: App) -> None:
    code = app.next_code()
    assert (await app.sign_in(code)).status_code == 201
    again = await app.sign_in(code)
    assert (again.status_code, again.json()["code"]) == (401, "code_refused")


async def test_the_code_that_turned_it_on_is_used_up(app: App) -> None:
    assert (await app.sign_in(app.code())).status_code == 401


async def test_a_code_older_than_one_that_was_used_is_refused(app: App) -> None:
    app.auth.clock.advance(seconds(60))
    earlier = app.code()
    later = app.next_code()
    assert (await app.sign_in(later)).status_code == 201
    assert (await app.sign_in(earlier)).status_code == 401


@pytest.mark.asvs("6.5.5")
async def test_a_clock_that_is_off_by_a_step_does_and_by_two_does_not(app: App) -> None:
    app.auth.clock.advance(seconds(120))
    early = app.code()
    app.auth.clock.advance(seconds(60))
    assert (await app.sign_in(early)).status_code == 401
    late = app.code()
    app.auth.clock.advance(seconds(30))
    assert (await app.sign_in(late)).status_code == 201


@pytest.mark.asvs("6.5.1")
async def test_fifty_sign_ins_with_one_code_are_one_session(app: App) -> None:
    code = app.next_code()
    answers = await asyncio.gather(*(app.sign_in(code) for _ in range(50)))
    assert [answer.status_code for answer in answers].count(201) == 1


async def test_of_fifty_who_proved_one_code_one_redeems_it(app: App) -> None:
    """Past the counting of attempts: the row itself decides."""
    factors = factors_of(app.auth)
    code = SecretStr(app.next_code())
    proofs = [await factors.prove(app.person.id, code, Client()) for _ in range(5)] * 10
    assert await redeemed(app, factors, proofs) == 1


async def test_of_fifty_who_proved_one_recovery_code_one_redeems_it(app: App) -> None:
    factors = factors_of(app.auth)
    proof = await factors.prove(app.person.id, SecretStr(app.recovery_codes[0]), Client())
    assert await redeemed(app, factors, [proof] * 50) == 1
    assert (await app.ask("GET", FACTOR)).json()["recovery_codes_left"] == 9


@pytest.mark.asvs("6.6.2")
async def test_a_proof_is_worth_nothing_once_the_factor_was_changed(app: App) -> None:
    factors = factors_of(app.auth)
    by_code = await factors.prove(app.person.id, SecretStr(app.next_code()), Client())
    by_recovery = await factors.prove(app.person.id, SecretStr(app.recovery_codes[0]), Client())
    off = await app.ask("DELETE", FACTOR, password=PASSWORD, code=app.recovery_codes[1])
    assert off.status_code == 204
    assert await redeemed(app, factors, [by_code, by_recovery]) == 0


@pytest.mark.asvs("6.6.3")
async def test_wrong_codes_are_delayed_more_and_more_for_the_account_and_forgotten_after_a_right_one(
    app: App,
) -> None:
    statuses = [(await app.sign_in(WRONG)).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    delayed = await app.sign_in(app.next_code())
    assert delayed.status_code == 201
    assert (await app.sign_in(WRONG)).status_code == 401


async def test_the_delay_does_not_pass_five_minutes(app: App) -> None:
    for _ in range(20):
        await app.sign_in(WRONG)
        app.auth.clock.advance(seconds(300))
    refused = await app.sign_in(WRONG)
    assert (refused.status_code, refused.json()["code"]) == (401, "code_refused")
    waiting = await app.sign_in(WRONG)
    assert (waiting.status_code, waiting.headers["retry-after"]) == (429, "300")
    assert waiting.json()["code"] == "code_delayed"


async def test_guesses_at_the_step_up_count_with_those_at_the_sign_in(app: App) -> None:
    for _ in range(3):
        await app.sign_in(WRONG)
    statuses = [(await app.ask("POST", STEP_UP, password=PASSWORD, code=WRONG)).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]


async def test_asking_without_a_code_is_no_failed_try(app: App) -> None:
    for _ in range(12):
        assert (await app.sign_in()).status_code == 401
    assert (await app.sign_in(app.next_code())).status_code == 201


async def test_the_owner_hears_of_somebody_who_guesses_codes(app: App) -> None:
    for _ in range(5):
        await app.sign_in(WRONG)
    assert await app.mails("Somebody knows your password") == 1


async def test_a_new_sealing_key_takes_over_with_the_next_sign_in(app: App) -> None:
    new, old = SecretStr("another secret " * 4), app.auth.settings.second_factor_key
    both = factors_of(app.auth, Sealing("second_factor", new, old))
    proof = await both.prove(app.person.id, SecretStr(app.next_code()), Client())
    async with app.auth.app_database.transaction(account_id=app.person.id) as session:
        await both.redeem(session, app.person.id, proof)
    alone = factors_of(app.auth, Sealing("second_factor", new))
    assert (await alone.prove(app.person.id, SecretStr(app.next_code()), Client())).step is not None
