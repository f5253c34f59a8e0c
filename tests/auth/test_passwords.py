"""Changing a password that is known, and replacing one that is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from shared.contracts.auth_events import SessionRevoked
from tests.auth.stage import PASSWORD, Person, Stage, seconds

NEW = "quite another sentence of mine"


async def sign_in(auth: Stage, person: Person, password: str = PASSWORD) -> httpx.Response:
    auth.client.cookies.clear()
    return await auth.client.post("/v1/auth/sessions", json={"email": person.email, "password": password})


async def refresh(auth: Stage, signed_in: httpx.Response) -> httpx.Response:
    auth.client.cookies.clear()
    headers = {"X-SC-CSRF": "1", "Cookie": f"__Host-sc_rt={signed_in.cookies['__Host-sc_rt']}"}
    return await auth.client.post("/v1/auth/sessions/refresh", headers=headers)


async def change(auth: Stage, person: Person, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
    return await auth.client.post(
        "/v1/me/password",
        json={"current_password": current, "new_password": new},
        headers=auth.as_user(person.id, session_id=person.session_id),
    )


async def ask_reset(auth: Stage, email: str) -> httpx.Response:
    return await auth.client.post("/v1/auth/password-reset", json={"email": email})


async def reset_token(auth: Stage, person: Person) -> str:
    assert (await ask_reset(auth, person.email)).status_code == 202
    await auth.send_mail()
    assert "password_reset_link" in {mail.kind for mail in auth.mail.mails if mail.to == person.email}
    return auth.link_token(person.email)


async def complete(auth: Stage, token: str, password: str = NEW) -> httpx.Response:
    return await auth.client.post(
        "/v1/auth/password-reset/complete", json={"token": token, "password": password}
    )


# -- change ------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.2.2", "7.4.3")
async def test_a_changed_password_is_the_only_one_and_other_sessions_end(auth: Stage) -> None:
    person = await auth.person()
    other = await sign_in(auth, person)
    answer = await change(auth, person)
    assert (answer.status_code, answer.json()) == (200, {"ended_sessions": 1})
    assert (await refresh(auth, other)).status_code == 401
    assert (await sign_in(auth, person)).status_code == 401
    assert (await sign_in(auth, person, NEW)).status_code == 201
    revoked = [event.session_id for event in await auth.bus.emitted(SessionRevoked)]
    assert person.session_id not in revoked


async def test_a_change_is_mailed_and_on_record(auth: Stage) -> None:
    person = await auth.person()
    await change(auth, person)
    await auth.send_mail()
    mail = auth.mail.last_to(person.email)
    assert mail.kind == "password_changed"
    assert NEW not in mail.text + mail.html
    events = await auth.client.get("/v1/me/security-events", headers=auth.as_user(person.id))
    assert events.json()["items"][0]["kind"] == "password_changed"


@pytest.mark.asvs("6.2.3")
async def test_a_change_needs_the_current_password_and_guesses_are_delayed(auth: Stage) -> None:
    person = await auth.person()
    answers = [await change(auth, person, "not the current one") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert answers[0].json()["code"] == "sign_in_failed"
    auth.clock.advance(seconds(1))
    assert (await change(auth, person)).status_code == 200


async def test_who_guesses_with_a_stolen_session_does_not_delay_the_owners_sign_in(auth: Stage) -> None:
    person = await auth.person()
    for _ in range(10):
        await change(auth, person, "not the current one")
    assert (await sign_in(auth, person)).status_code == 201


@pytest.mark.parametrize("new", ["short", "password2026", "sendchief2026!"])
async def test_the_new_password_has_to_be_a_good_one(auth: Stage, new: str) -> None:
    person = await auth.person()
    answer = await change(auth, person, new=new)
    assert (answer.status_code, answer.json()["code"]) == (422, "password_refused")
    assert (await sign_in(auth, person)).status_code == 201


async def test_of_many_changes_at_once_one_is_made(auth: Stage) -> None:
    person = await auth.person()
    answers = await asyncio.gather(*(change(auth, person, new=f"{NEW} {n}") for n in range(3)))
    assert sorted(answer.status_code for answer in answers)[0] == 200
    made = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert len(made) == 1
    assert {answer.status_code for answer in answers} <= {200, 401, 409, 429}
    assert (await sign_in(auth, person, f"{NEW} {made[0]}")).status_code == 201


async def test_no_sign_in_with_the_old_password_outlives_its_change(auth: Stage) -> None:
    """A sign-in that had its password checked before the change and starts its session after it."""
    person = await auth.person()
    racing: list[Any] = [sign_in(auth, person) for _ in range(3)]
    racing.insert(2, change(auth, person))
    answers = await asyncio.gather(*racing)
    assert answers[2].status_code == 200
    for answer in (answers[0], answers[1], answers[3]):
        if answer.status_code == 201:
            assert (await refresh(auth, answer)).status_code == 401


# -- reset -------------------------------------------------------------------------------------------------------


async def test_a_reset_sets_the_password_and_ends_every_session(auth: Stage) -> None:
    person = await auth.person()
    signed_in = await sign_in(auth, person)
    answer = await complete(auth, await reset_token(auth, person))
    assert answer.status_code == 200, answer.text
    assert (await refresh(auth, signed_in)).status_code == 401
    revoked = [event.session_id for event in await auth.bus.emitted(SessionRevoked)]
    assert person.session_id in revoked
    assert (await sign_in(auth, person)).status_code == 401
    assert (await sign_in(auth, person, NEW)).status_code == 201
    await auth.send_mail()
    assert "password_reset" in [mail.kind for mail in auth.mail.mails if mail.to == person.email]


async def test_unknown_addresses_get_the_same_answer_the_same_work_and_no_mail(auth: Stage) -> None:
    person = await auth.person()
    auth.mail.mails.clear()
    known, unknown = await ask_reset(auth, person.email), await ask_reset(auth, "nobody@people.test")
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert await rows_of(auth, person.email) == await rows_of(auth, "nobody@people.test") == (1, 1)
    await auth.send_mail()
    assert [mail.to for mail in auth.mail.mails] == [person.email]


async def rows_of(auth: Stage, email: str) -> tuple[int, int]:
    """Wishes for a new password, and mails queued for them."""
    from sqlalchemy import text

    async with auth.worker.database.transaction() as session:
        found = await session.execute(
            text(
                "select count(*), count(n.id) from password_reset r "
                "left join notification n on n.reference = r.id where r.email = :email"
            ),
            {"email": email},
        )
        resets, mails = found.one()
    return resets, mails


async def test_a_reset_link_works_once(auth: Stage) -> None:
    person = await auth.person()
    token = await reset_token(auth, person)
    assert (await complete(auth, token)).status_code == 200
    again = await complete(auth, token, "yet another sentence here")
    assert (again.status_code, again.json()["code"]) == (410, "link_refused")
    assert (await sign_in(auth, person, NEW)).status_code == 201


async def test_of_many_who_use_a_reset_link_at_once_one_sets_the_password(auth: Stage) -> None:
    person = await auth.person()
    token = await reset_token(auth, person)
    answers = await asyncio.gather(*(complete(auth, token, f"{NEW} {n}") for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 19
    winner = next(n for n, answer in enumerate(answers) if answer.status_code == 200)
    assert (await sign_in(auth, person, f"{NEW} {winner}")).status_code == 201


async def test_a_refused_password_does_not_use_the_link_up(auth: Stage) -> None:
    person = await auth.person()
    token = await reset_token(auth, person)
    assert (await complete(auth, token, "password2026")).status_code == 422
    assert (await complete(auth, token)).status_code == 200


@pytest.mark.asvs("6.4.1")
async def test_a_reset_link_dies_after_thirty_minutes(auth: Stage) -> None:
    person = await auth.person()
    token = await reset_token(auth, person)
    auth.clock.advance(seconds(1801))
    assert (await complete(auth, token)).status_code == 410


async def test_only_the_newest_link_works_and_mails_keep_a_distance(auth: Stage) -> None:
    person = await auth.person()
    old = await reset_token(auth, person)
    await ask_reset(auth, person.email)
    await auth.send_mail()
    assert auth.link_token(person.email) == old
    auth.clock.advance(seconds(300))
    new = await reset_token(auth, person)
    assert (await complete(auth, old)).status_code == 410
    assert (await complete(auth, new)).status_code == 200


async def test_many_wishes_at_once_send_one_mail(auth: Stage) -> None:
    person = await auth.person()
    auth.mail.mails.clear()
    answers = await asyncio.gather(*(ask_reset(auth, person.email) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    await auth.send_mail()
    assert len(auth.mail.mails) == 1


@pytest.mark.asvs("6.6.2")
async def test_a_link_of_another_purpose_sets_no_password(auth: Stage) -> None:
    body = {"email": "purpose@people.test", "password": PASSWORD, "name": "P"}
    await auth.client.post("/v1/auth/signup", json=body)
    await auth.send_mail()
    assert (await complete(auth, auth.link_token(body["email"]))).status_code == 410


@pytest.mark.asvs("14.2.1")
async def test_the_link_holds_its_token_in_the_fragment_and_no_table_holds_it(auth: Stage) -> None:
    from sqlalchemy import text

    person = await auth.person()
    token = await reset_token(auth, person)
    assert "https://sendchief.test/reset#token=" in auth.mail.last_to(person.email).text
    async with auth.worker.database.transaction() as session:
        for table in ("notification", "password_reset", "outbox"):
            found = await session.execute(
                text(f"select count(*) from {table} t where t::text like :token"),  # noqa: S608
                {"token": f"%{token[-40:]}%"},
            )
            assert found.scalar_one() == 0
