"""Moving an account to another address, and taking it back."""

from __future__ import annotations

import asyncio
import secrets

import httpx
import pytest

from services.auth.models import SecondFactor
from shared.contracts.auth_events import SessionRevoked
from tests.auth.stage import PASSWORD, Person, Stage, seconds

NEW_PASSWORD = "quite another sentence of mine"


def fresh() -> str:
    return f"{secrets.token_hex(8)}@people.test"


async def sign_in(auth: Stage, email: str, password: str = PASSWORD) -> int:
    auth.client.cookies.clear()
    body = {"email": email, "password": password}
    return (await auth.client.post("/v1/auth/sessions", json=body)).status_code


async def ask(auth: Stage, person: Person, email: str, password: str = PASSWORD) -> httpx.Response:
    return await auth.client.post(
        "/v1/me/email",
        json={"email": email, "password": password},
        headers=auth.as_user(person.id, session_id=person.session_id),
    )


async def confirm(auth: Stage, token: str) -> httpx.Response:
    return await auth.client.post("/v1/auth/email-change/confirm", json={"token": token})


async def undo(auth: Stage, token: str, password: str = NEW_PASSWORD) -> httpx.Response:
    return await auth.client.post("/v1/auth/email-change/undo", json={"token": token, "password": password})


async def moved(auth: Stage, person: Person, old: str, new: str) -> str:
    """Asked for and confirmed; the token of the way back, from the mail to the old address."""
    assert (await ask(auth, person, new)).status_code == 202
    await auth.send_mail()
    assert (await confirm(auth, auth.link_token(new))).status_code == 200
    await auth.send_mail()
    assert auth.mail.last_to(old).kind == "email_changed"
    return auth.link_token(old)


async def test_the_account_moves_when_the_new_address_confirms(auth: Stage) -> None:
    person, new = await auth.person(), fresh()
    assert (await ask(auth, person, new)).status_code == 202
    await auth.send_mail()
    assert await sign_in(auth, new) == 401
    assert await sign_in(auth, person.email) == 201
    assert (await confirm(auth, auth.link_token(new))).status_code == 200
    assert await sign_in(auth, person.email) == 401
    assert await sign_in(auth, new) == 201
    me = await auth.client.get("/v1/me", headers=auth.as_user(person.id))
    assert me.json()["email"] == new
    events = await auth.client.get("/v1/me/security-events", headers=auth.as_user(person.id))
    assert {"email_change_requested", "email_changed"} <= {item["kind"] for item in events.json()["items"]}


async def test_asking_needs_the_password(auth: Stage) -> None:
    person = await auth.person()
    auth.mail.mails.clear()
    answers = [await ask(auth, person, fresh(), "not the password") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    await auth.send_mail()
    assert auth.mail.mails == []


async def test_an_address_that_is_taken_gives_the_same_answer_and_only_its_mailbox_knows(auth: Stage) -> None:
    person, other = await auth.person(), await auth.person()
    taken, free = await ask(auth, person, other.email), await ask(auth, person, fresh())
    assert (taken.status_code, taken.content) == (free.status_code, free.content)
    auth.clock.advance(seconds(60))
    third = await auth.person()
    await ask(auth, third, other.email)
    await auth.send_mail()
    mail = auth.mail.last_to(other.email)
    assert "has an account already" in mail.subject
    assert "#token=" not in mail.text


async def test_an_address_taken_in_the_meantime_stays_where_it_is(auth: Stage) -> None:
    person, rival, new = await auth.person(), await auth.person(), fresh()
    for one in (person, rival):
        await ask(auth, one, new)
    await auth.send_mail()
    tokens = [
        found.split("#token=")[1].split()[0]
        for found in (mail.text for mail in auth.mail.mails if mail.to == new)
    ]
    answers = await asyncio.gather(*(confirm(auth, token) for token in tokens))
    assert sorted(answer.status_code for answer in answers) == [200, 410]


async def test_a_confirmation_works_once_and_for_two_hours(auth: Stage) -> None:
    person, new = await auth.person(), fresh()
    await ask(auth, person, new)
    await auth.send_mail()
    token = auth.link_token(new)
    answers = await asyncio.gather(*(confirm(auth, token) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 9
    later = fresh()
    await ask(auth, person, later)
    await auth.send_mail()
    auth.clock.advance(seconds(7201))
    assert (await confirm(auth, auth.link_token(later))).status_code == 410


async def test_only_the_newest_wish_can_be_confirmed(auth: Stage) -> None:
    person, first, second = await auth.person(), fresh(), fresh()
    await ask(auth, person, first)
    await auth.send_mail()
    await ask(auth, person, second)
    await auth.send_mail()
    assert (await confirm(auth, auth.link_token(first))).status_code == 410
    assert (await confirm(auth, auth.link_token(second))).status_code == 200


async def test_the_old_address_takes_the_account_back_from_a_thief(auth: Stage) -> None:
    person, new = await auth.person(), fresh()
    way_back = await moved(auth, person, person.email, new)
    answer = await undo(auth, way_back)
    assert answer.status_code == 200, answer.text
    assert await sign_in(auth, new) == 401
    assert await sign_in(auth, person.email) == 401
    assert await sign_in(auth, person.email, NEW_PASSWORD) == 201
    assert person.session_id in [event.session_id for event in await auth.bus.emitted(SessionRevoked)]
    assert (await undo(auth, way_back)).status_code == 410
    await auth.send_mail()
    assert "email_change_undone" in [mail.kind for mail in auth.mail.mails if mail.to == person.email]


async def test_a_second_move_does_not_cut_off_the_first_way_back(auth: Stage) -> None:
    person, second, third = await auth.person(), fresh(), fresh()
    way_back = await moved(auth, person, person.email, second)
    thiefs_way_back = await moved(auth, person, second, third)
    assert (await undo(auth, way_back)).status_code == 200
    assert await sign_in(auth, person.email, NEW_PASSWORD) == 201
    assert (await undo(auth, thiefs_way_back)).status_code == 410


async def test_the_way_back_ends_after_three_days(auth: Stage) -> None:
    person, new = await auth.person(), fresh()
    way_back = await moved(auth, person, person.email, new)
    auth.clock.advance(seconds(72 * 3600 + 1))
    assert (await undo(auth, way_back)).status_code == 410


async def test_a_password_reset_closes_a_wish_that_waits(auth: Stage) -> None:
    person, new = await auth.person(), fresh()
    await ask(auth, person, new)
    await auth.client.post("/v1/auth/password-reset", json={"email": person.email})
    await auth.send_mail()
    body = {"token": auth.link_token(person.email), "password": NEW_PASSWORD}
    assert (await auth.client.post("/v1/auth/password-reset/complete", json=body)).status_code == 200
    assert (await confirm(auth, auth.link_token(new))).status_code == 410


async def test_a_reset_link_for_the_old_address_does_not_open_the_moved_account(auth: Stage) -> None:
    person, new = await auth.person(), fresh()
    await auth.client.post("/v1/auth/password-reset", json={"email": person.email})
    await auth.send_mail()
    token = auth.link_token(person.email)
    await moved(auth, person, person.email, new)
    body = {"token": token, "password": NEW_PASSWORD}
    assert (await auth.client.post("/v1/auth/password-reset/complete", json=body)).status_code == 410


@pytest.mark.parametrize("which", ["same", "bad"])
async def test_no_address_and_the_present_one_are_refused(auth: Stage, which: str) -> None:
    person = await auth.person()
    answer = await ask(auth, person, person.email if which == "same" else "no-at-sign")
    assert (answer.status_code, answer.json()["code"]) == (422, "email_refused")


@pytest.mark.parametrize(("turned_on", "status"), [("before the wish", 401), ("after it", 201)])
async def test_taking_it_back_removes_what_a_thief_has_turned_on_and_nothing_else(
    auth: Stage, turned_on: str, status: int
) -> None:
    person, new = await auth.person(), fresh()
    when = auth.clock.now()
    auth.clock.advance(seconds(60))
    way_back = await moved(auth, person, person.email, new)
    if turned_on == "after it":
        when = auth.clock.now()
    row = {"account_id": person.id, "key_sealed": b"x" * 60, "created_at": when, "confirmed_at": when}
    async with auth.app_database.transaction(account_id=person.id) as session:
        session.add(SecondFactor(**row))
    assert (await undo(auth, way_back)).status_code == 200
    assert await sign_in(auth, person.email, NEW_PASSWORD) == status
