"""Turning the second factor on: the key, the first code, what becomes of other sessions, and what is kept."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from shared.contracts.auth_events import SessionRevoked
from tests.auth.second_factor.authenticator import FACTOR, WRONG, App, started
from tests.auth.stage import PASSWORD, Stage, seconds, unverified
from tests.auth.test_sessions import cookie_of, refresh


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
        rows = [*(await session.execute(text("select t::text from second_factor t"))).scalars()]
        rows += (await session.execute(text("select t::text from recovery_code t"))).scalars()
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


async def test_turning_it_on_sends_a_mail(app: App) -> None:
    assert await app.mails("The second factor is on") == 1
