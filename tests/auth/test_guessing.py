"""People who guess passwords, and the owner who gets in all the same.

SC_GUESSES is how many tries are made (250; 10000 takes minutes, its outcome stands in docs/sign-in.md).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.auth.client import Client
from services.auth.errors import SignInDelayed, SignInFailed
from services.auth.sessions import delay
from shared.identity import HEADER
from tests.auth.stage import PASSWORD, Person, Stage, from_address, seconds


@pytest.fixture(autouse=True)
async def calm(auth: Stage) -> AsyncIterator[None]:
    """All counters are emptied for the tests that come after on the same database."""
    yield
    async with auth.worker.database.transaction() as session:
        await session.execute(text("delete from sign_in_throttle"))
        await session.execute(text("delete from sign_in_failure"))


WRONG = SecretStr("wrong wrong wrong")
GUESSES = int(os.environ.get("SC_GUESSES", "250"))
PACE = 3600 / 10_000
"""Seconds from one try to the next: ten thousand an hour."""


async def sign_in(
    auth: Stage, email: str, password: str = PASSWORD, *, device: str | None = None, ip: str = "203.0.113.9"
) -> httpx.Response:
    auth.client.cookies.clear()
    headers = {HEADER: from_address(auth.trust, ip)}
    if device:
        headers["Cookie"] = f"__Host-sc_dc={device}"
    return await auth.client.post(
        "/v1/auth/sessions", json={"email": email, "password": password}, headers=headers
    )


async def known_device(auth: Stage, person: Person, password: str = PASSWORD) -> str:
    answer = await sign_in(auth, person.email, password)
    assert answer.status_code == 201, answer.text
    return answer.cookies["__Host-sc_dc"]


async def attack(auth: Stage, tries: list[tuple[str, str]], pace: float = 0.0005) -> Counter[str]:
    """(address, network) each once, 20 at a time, straight at the use case; how they ended. `pace` is the seconds
    from one to the next, by the clock of the service."""
    from services.auth.app import build_resources

    sessions = build_resources(auth.settings, auth.clock, auth.app_database).sessions
    ends: Counter[str] = Counter()

    async def one(email: str, ip: str) -> None:
        try:
            await sessions.sign_in(email, WRONG, Client(ip))
        except SignInFailed:
            ends["checked"] += 1
        except SignInDelayed:
            ends["delayed"] += 1

    for start in range(0, len(tries), 20):
        if start:
            auth.clock.advance(seconds(20 * pace))
        await asyncio.gather(*(one(*each) for each in tries[start : start + 20]))
    return ends


def networks(count: int) -> list[str]:
    return [f"10.{number >> 8}.{number & 255}.1" for number in range(count)]


async def fill(auth: Stage, *, failures: int, now: datetime, drained_at: datetime) -> None:
    async with auth.worker.database.transaction() as session:
        await session.execute(
            text("update sign_in_failure set failures = :failures, last_failed_at = :now"),
            {"failures": failures, "now": now},
        )
        await session.execute(text("update sign_in_throttle set drained_at = :at"), {"at": drained_at})


@pytest.mark.asvs("6.3.1")
async def test_ten_thousand_tries_do_not_keep_the_owner_out_of_his_own_device(auth: Stage) -> None:
    """The first hundreds are made at the pace of ten thousand an hour; what the rest would leave behind is written into
    the counters, since a try that is put off changes nothing."""
    person = await auth.person()
    device = await known_device(auth, person)
    ends = await attack(auth, [(person.email, network) for network in networks(GUESSES)], PACE)
    assert ends["checked"] <= delay.ADDRESS.free + GUESSES * PACE / delay.ADDRESS.longest + 1
    assert ends["checked"] + ends["delayed"] == GUESSES
    assert (await sign_in(auth, person.email, device=device)).status_code == 201
    now = auth.clock.now()
    await fill(auth, failures=10_000, now=now, drained_at=now + delay.EVERYBODY.room)
    assert (await sign_in(auth, person.email)).status_code == 429
    assert (await sign_in(auth, person.email, device=device)).status_code == 201


@pytest.mark.asvs("6.3.1")
async def test_one_try_at_each_of_many_accounts_is_slowed_and_known_devices_are_not(
    auth: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delay, "EVERYBODY", delay.Throttle("sign_in", burst=30, per_second=5, pause=5))
    person = await auth.person()
    device = await known_device(auth, person)
    ends = await attack(
        auth, [(f"stuffed{n}@people.test", network) for n, network in enumerate(networks(GUESSES))]
    )
    assert 25 <= ends["checked"] <= 32 + 5 * GUESSES * 0.0005
    assert ends["checked"] + ends["delayed"] == GUESSES
    refused = await sign_in(auth, person.email)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert (await sign_in(auth, person.email, device=device)).status_code == 201
    auth.clock.advance(seconds(5))
    assert (await sign_in(auth, person.email)).status_code == 201


async def test_a_wrong_clock_locks_nobody_out(auth: Stage) -> None:
    person = await auth.person()
    await fill(auth, failures=0, now=auth.clock.now(), drained_at=auth.clock.now() + seconds(86_400))
    assert (await sign_in(auth, person.email)).status_code == 201


async def test_right_passwords_do_not_fill_the_common_bucket(auth: Stage) -> None:
    person = await auth.person()
    async with auth.worker.database.transaction() as session:
        before = (await session.execute(text("select drained_at from sign_in_throttle"))).scalar_one()
    for _ in range(3):
        assert (await sign_in(auth, person.email)).status_code == 201
    async with auth.worker.database.transaction() as session:
        after = (await session.execute(text("select drained_at from sign_in_throttle"))).scalar_one()
    assert after <= max(before, auth.clock.now())


async def test_who_stole_the_device_cookie_is_delayed_like_anybody(auth: Stage) -> None:
    person = await auth.person()
    device = await known_device(auth, person)
    answers = [await sign_in(auth, person.email, "wrong wrong wrong", device=device) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert (await sign_in(auth, person.email)).status_code == 201


async def test_a_device_cookie_is_of_one_account(auth: Stage) -> None:
    person, other = await auth.person(), await auth.person()
    device = await known_device(auth, other)
    for _ in range(3):
        await sign_in(auth, person.email, "wrong wrong wrong")
    assert (await sign_in(auth, person.email, device=device)).status_code == 429


@pytest.mark.parametrize("spoil", ["", "sc_dc_x", "sc_dc_" + "A" * 22 + "." + "A" * 43, "a" * 128])
async def test_what_is_no_device_cookie_counts_as_none(auth: Stage, spoil: str) -> None:
    person = await auth.person()
    for _ in range(3):
        await sign_in(auth, person.email, "wrong wrong wrong")
    answer = await sign_in(auth, person.email, device=spoil or "x")
    assert answer.status_code == 429


async def test_a_device_cookie_ends_with_the_password_and_the_changer_gets_a_new_one(auth: Stage) -> None:
    person = await auth.person()
    old = await known_device(auth, person)
    auth.client.cookies.clear()
    new_password = "quite another sentence of mine"
    changed = await auth.client.post(
        "/v1/me/password",
        json={"current_password": PASSWORD, "new_password": new_password},
        headers=auth.as_user(person.id, session_id=person.session_id),
    )
    for _ in range(3):
        await sign_in(auth, person.email, "wrong wrong wrong")
    assert (await sign_in(auth, person.email, new_password, device=old)).status_code == 429
    device = changed.cookies["__Host-sc_dc"]
    assert (await sign_in(auth, person.email, new_password, device=device)).status_code == 201


async def test_whoever_resets_his_password_under_attack_gets_in_at_once(auth: Stage) -> None:
    person = await auth.person()
    await auth.client.post("/v1/auth/password-reset", json={"email": person.email})
    await auth.send_mail()
    auth.client.cookies.clear()
    body = {"token": auth.link_token(person.email), "password": "quite another sentence of mine"}
    done = await auth.client.post("/v1/auth/password-reset/complete", json=body)
    for n in range(40):
        await sign_in(auth, person.email, "wrong wrong wrong", ip=f"198.51.100.{n}")
    device = done.cookies["__Host-sc_dc"]
    assert (await sign_in(auth, person.email, body["password"], device=device)).status_code == 201


@pytest.mark.asvs("3.3.3", "14.3.1")
async def test_the_device_cookie_is_out_of_reach_of_scripts_and_survives_sign_out(auth: Stage) -> None:
    person = await auth.person()
    answer = await sign_in(auth, person.email)
    lines = answer.headers.get_list("set-cookie")
    line = next(line for line in lines if line.startswith("__Host-sc_dc=sc_dc_"))
    flags = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= flags
    out = await auth.client.delete(
        "/v1/auth/sessions/current", headers=auth.as_user(person.id, session_id=person.session_id)
    )
    assert "__Host-sc_rt" in out.headers["set-cookie"]
    assert "__Host-sc_dc" not in out.headers["set-cookie"]
    assert out.headers["clear-site-data"] == '"cache", "storage"'  # and not "cookies"


async def test_a_sign_in_from_a_new_device_is_mailed_and_from_a_known_one_is_not(auth: Stage) -> None:
    person = await auth.person()
    auth.mail.mails.clear()
    device = await known_device(auth, person)
    await auth.send_mail()
    assert [mail.kind for mail in auth.mail.mails] == ["new_device"]
    assert "203.0.113.0/24" in auth.mail.mails[0].text
    assert (await sign_in(auth, person.email, device=device)).status_code == 201
    await auth.send_mail()
    assert len(auth.mail.mails) == 1
    events = await auth.client.get("/v1/me/security-events", headers=auth.as_user(person.id))
    assert [item["kind"] for item in events.json()["items"]] == ["new_device"]
