"""The second factor: turning it on, signing in with it, recovery codes, fresh sign-ins, turning it off."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.auth.admin import second_factor_off
from services.auth.client import Client
from services.auth.errors import CodeRefused
from services.auth.sealing import Sealing
from services.auth.second_factor import totp
from services.auth.second_factor.service import SecondFactors
from shared.contracts.auth_events import SessionRevoked
from shared.db.database import Database
from tests.auth.stage import PASSWORD, Person, Stage, seconds, unverified
from tests.auth.test_sessions import cookie_of, refresh

FACTOR = "/v1/me/second-factor"
STEP_UP = "/v1/auth/sessions/current/step-up"
WRONG = "000000"


@dataclass
class App:
    """A person and the authenticator app on his telephone."""

    auth: Stage
    person: Person
    key: bytes
    recovery_codes: list[str]

    def code(self) -> str:
        return totp.code_at(self.key, self.auth.clock.now())

    def next_code(self) -> str:
        self.auth.clock.advance(seconds(30))
        return self.code()

    async def ask(self, method: str, path: str, session_id: str | None = None, **body: Any) -> httpx.Response:
        headers = self.auth.as_user(self.person.id, session_id=session_id or self.person.session_id)
        return await self.auth.client.request(method, path, json=body or None, headers=headers)

    async def sign_in(self, code: str | None = None, password: str = PASSWORD) -> httpx.Response:
        self.auth.client.cookies.clear()
        body = {"email": self.person.email, "password": password} | ({"code": code} if code else {})
        return await self.auth.client.post("/v1/auth/sessions", json=body)

    async def mails(self, subject: str) -> int:
        await self.auth.send_mail()
        return sum(m.subject == subject and m.to == self.person.email for m in self.auth.mail.mails)


async def started(auth: Stage) -> App:
    app = App(auth, await auth.person(), b"", [])
    answer = await app.ask("POST", FACTOR, password=PASSWORD)
    assert answer.status_code == 201, answer.text
    app.key = base64.b32decode(answer.json()["secret"])
    return app


@pytest.fixture
async def app(auth: Stage) -> App:
    """With the factor on."""
    app = await started(auth)
    answer = await app.ask("POST", f"{FACTOR}/confirm", code=app.code())
    assert answer.status_code == 200, answer.text
    app.recovery_codes = answer.json()["recovery_codes"]
    return app


# -- turning it on -----------------------------------------------------------------------------------------------


async def test_the_key_is_shown_once_as_text_and_as_a_uri(auth: Stage) -> None:
    app = App(auth, await auth.person(), b"", [])
    answer = await app.ask("POST", FACTOR, password=PASSWORD)
    uri = urlsplit(answer.json()["otpauth_uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query)["secret"] == [answer.json()["secret"]]
    assert uri.path == f"/SendChief:{app.person.email}"
    seen = await app.ask("GET", FACTOR)
    assert seen.json() == {"state": "pending", "on_since": None, "recovery_codes_left": 0}


@pytest.mark.asvs("7.5.1")
async def test_starting_asks_for_the_password(auth: Stage) -> None:
    app = App(auth, await auth.person(), b"", [])
    assert (await app.ask("POST", FACTOR, password="another one entirely")).status_code == 401
    assert (await app.ask("GET", FACTOR)).json()["state"] == "off"


async def test_until_it_is_confirmed_the_password_is_enough(auth: Stage) -> None:
    app = await started(auth)
    assert (await app.sign_in()).status_code == 201


async def test_a_wrong_first_code_changes_nothing_and_the_right_one_still_works(auth: Stage) -> None:
    app = await started(auth)
    refused = await app.ask("POST", f"{FACTOR}/confirm", code=WRONG)
    assert (refused.status_code, refused.json()["code"]) == (422, "code_mismatch")
    assert (await app.ask("POST", f"{FACTOR}/confirm", code=app.code())).status_code == 200


async def test_a_key_that_waited_half_an_hour_is_forgotten(auth: Stage) -> None:
    app = await started(auth)
    auth.clock.advance(seconds(1801))
    late = await app.ask("POST", f"{FACTOR}/confirm", code=app.code())
    assert (late.status_code, late.json()["code"]) == (409, "second_factor_off")
    assert (await app.ask("GET", FACTOR)).json()["state"] == "off"


async def test_starting_again_replaces_the_key_that_waits(auth: Stage) -> None:
    app = await started(auth)
    first = app.code()
    again = await app.ask("POST", FACTOR, password=PASSWORD)
    assert (await app.ask("POST", f"{FACTOR}/confirm", code=first)).status_code == 422
    app.key = base64.b32decode(again.json()["secret"])
    assert (await app.ask("POST", f"{FACTOR}/confirm", code=app.code())).status_code == 200


async def test_fifty_confirmations_at_once_show_recovery_codes_once(auth: Stage) -> None:
    app = await started(auth)
    code = app.code()
    answers = await asyncio.gather(*(app.ask("POST", f"{FACTOR}/confirm", code=code) for _ in range(50)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 503}  # 503: more hashing at once than is allowed
    assert (await app.ask("GET", FACTOR)).json()["recovery_codes_left"] == 10


@pytest.mark.asvs("7.4.3")
async def test_turning_it_on_ends_the_other_sessions_and_keeps_this_one(auth: Stage) -> None:
    app = await started(auth)
    elsewhere = await app.sign_in()
    here = await app.sign_in()
    session_id = unverified(here.json()["access_token"])["sid"]
    answer = await app.ask("POST", f"{FACTOR}/confirm", session_id, code=app.code())
    assert answer.status_code == 200
    assert (await refresh(auth, cookie_of(elsewhere))).status_code == 401
    kept = await refresh(auth, cookie_of(here))
    assert unverified(kept.json()["access_token"])["amr"] == ["pwd", "otp", "mfa"]
    ended = {event.session_id for event in await auth.bus.emitted(SessionRevoked)}
    assert app.person.session_id in ended
    assert session_id not in ended


@pytest.mark.asvs("6.3.4")
async def test_a_sign_in_under_way_does_not_slip_past_a_factor_that_is_being_turned_on(auth: Stage) -> None:
    """Twenty sign-ins with the password alone, while the factor is turned on: whoever got in before was put out."""
    app = await started(auth)
    answers = await asyncio.gather(
        *(app.sign_in() for _ in range(10)),
        app.ask("POST", f"{FACTOR}/confirm", code=app.code()),
        *(app.sign_in() for _ in range(10)),
    )
    assert answers[10].status_code == 200
    for answer in (*answers[:10], *answers[11:]):
        if answer.status_code == 201:
            assert (await refresh(auth, cookie_of(answer))).status_code == 401


@pytest.mark.asvs("6.5.2")
async def test_neither_key_nor_recovery_codes_are_in_the_database(app: App) -> None:
    async with app.auth.app_database.transaction(account_id=app.person.id) as session:
        rows = (await session.execute(text("select t::text from second_factor t"))).scalars().all()
        rows += (await session.execute(text("select t::text from recovery_code t"))).scalars().all()
    dump = "\n".join(rows)
    assert len(rows) == 11
    assert app.key.hex() not in dump
    for code in app.recovery_codes:
        assert code.replace("-", "")[2:] not in dump
    assert dump.count("$argon2id$") == 10


async def test_another_account_does_not_see_the_rows_and_the_worker_may_not_read_them(app: App) -> None:
    other = await app.auth.person()
    async with app.auth.app_database.transaction(account_id=other.id) as session:
        for table in ("second_factor", "recovery_code"):
            assert (await session.execute(text(f"select count(*) from {table}"))).scalar_one() == 0  # noqa: S608
    for table in ("second_factor", "recovery_code"):
        with pytest.raises(Exception, match="permission denied"):
            async with app.auth.worker.database.transaction() as session:
                await session.execute(text(f"select 1 from {table}"))  # noqa: S608


# -- signing in --------------------------------------------------------------------------------------------------


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


# -- recovery codes ----------------------------------------------------------------------------------------------


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


# -- fresh sign-ins ----------------------------------------------------------------------------------------------


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


# -- turning it off ----------------------------------------------------------------------------------------------


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


async def test_turning_it_on_sends_a_mail(app: App) -> None:
    assert await app.mails("The second factor is on") == 1


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


# -- what an operator can do ---------------------------------------------------------------------------------------


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


# -- the key that seals ------------------------------------------------------------------------------------------


async def test_a_new_sealing_key_takes_over_with_the_next_sign_in(app: App) -> None:
    new, old = SecretStr("another secret " * 4), app.auth.settings.second_factor_key
    both = factors_of(app.auth, Sealing("second_factor", new, old))
    proof = await both.prove(app.person.id, SecretStr(app.next_code()), Client())
    async with app.auth.app_database.transaction(account_id=app.person.id) as session:
        await both.redeem(session, app.person.id, proof)
    alone = factors_of(app.auth, Sealing("second_factor", new))
    assert (await alone.prove(app.person.id, SecretStr(app.next_code()), Client())).step is not None


# ----------------------------------------------------------------------------------------------------------------


def factors_of(auth: Stage, sealing: Sealing | None = None) -> SecondFactors:
    from services.auth.passwords import PasswordHasher

    settings = auth.settings
    sealing = sealing or Sealing("second_factor", settings.second_factor_key)
    return SecondFactors(auth.app_database, PasswordHasher(), sealing, auth.clock, settings.api_key_pepper)


async def redeemed(app: App, factors: SecondFactors, proofs: list[Any]) -> int:
    """How many of the proofs were accepted, all shown at once."""
    database: Database = app.auth.app_database

    async def redeem(proof: Any) -> bool:
        try:
            async with database.transaction(account_id=app.person.id) as session:
                await factors.redeem(session, app.person.id, proof)
        except CodeRefused:
            return False
        return True

    return sum(await asyncio.gather(*(redeem(proof) for proof in proofs)))
