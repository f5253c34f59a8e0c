"""Sign-up, confirmation and what a mail gives away."""

from __future__ import annotations

import pytest

from tests.auth.stage import PASSWORD, Stage, seconds


async def test_a_confirmed_sign_up_becomes_an_account(auth: Stage) -> None:
    person = await auth.person("Grace Hopper")
    answer = await auth.client.get("/v1/me", headers=auth.as_user(person.id))
    assert answer.json()["name"] == "Grace Hopper"
    assert answer.json()["email"] == person.email


@pytest.mark.asvs("7.6.2")
async def test_before_confirmation_nobody_signs_in(auth: Stage) -> None:
    body = {"email": "early@people.test", "password": PASSWORD, "name": "Early"}
    await auth.client.post("/v1/auth/signup", json=body)
    answer = await auth.client.post("/v1/auth/sessions", json={"email": body["email"], "password": PASSWORD})
    assert answer.status_code == 401
    assert answer.json()["code"] == "sign_in_failed"


async def test_a_known_address_gets_the_same_answer_and_another_mail(auth: Stage) -> None:
    person = await auth.person()
    known = await auth.client.post(
        "/v1/auth/signup", json={"email": person.email, "password": "another long secret", "name": "X"}
    )
    unknown = await auth.client.post(
        "/v1/auth/signup", json={"email": "new@people.test", "password": "another long secret", "name": "X"}
    )
    await auth.send_mail()
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert "already" in auth.mail.last_to(person.email).subject
    answer = await auth.client.post("/v1/auth/sessions", json={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 201


async def test_a_confirmation_link_works_once(auth: Stage) -> None:
    body = {"email": "once@people.test", "password": PASSWORD, "name": "Once"}
    await auth.client.post("/v1/auth/signup", json=body)
    await auth.send_mail()
    token = auth.link_token(body["email"])
    first = await auth.client.post("/v1/auth/confirm", json={"token": token})
    second = await auth.client.post("/v1/auth/confirm", json={"token": token})
    assert (first.status_code, second.status_code) == (200, 410)
    assert second.json()["code"] == "link_refused"


async def test_only_the_newest_sign_up_of_an_address_can_be_confirmed(auth: Stage) -> None:
    body = {"email": "twice@people.test", "password": PASSWORD, "name": "Twice"}
    await auth.client.post("/v1/auth/signup", json=body)
    await auth.send_mail()
    old = auth.link_token(body["email"])
    await auth.client.post("/v1/auth/signup", json={**body, "password": "my second thought here"})
    await auth.send_mail()
    assert (await auth.client.post("/v1/auth/confirm", json={"token": old})).status_code == 410
    new = auth.link_token(body["email"])
    assert (await auth.client.post("/v1/auth/confirm", json={"token": new})).status_code == 200


@pytest.mark.asvs("6.4.1")
async def test_a_confirmation_link_dies_after_a_day(auth: Stage) -> None:
    body = {"email": "late@people.test", "password": PASSWORD, "name": "Late"}
    await auth.client.post("/v1/auth/signup", json=body)
    await auth.send_mail()
    auth.clock.advance(seconds(24 * 3600 + 1))
    answer = await auth.client.post("/v1/auth/confirm", json={"token": auth.link_token(body["email"])})
    assert answer.status_code == 410


async def test_a_mail_holds_its_token_in_the_fragment_and_the_database_holds_none(auth: Stage) -> None:
    body = {"email": "fragment@people.test", "password": PASSWORD, "name": "Fragment"}
    await auth.client.post("/v1/auth/signup", json=body)
    await auth.send_mail()
    mail = auth.mail.last_to(body["email"])
    assert "https://sendchief.test/confirm#token=" in mail.text
    token = auth.link_token(body["email"])
    async with auth.worker.database.transaction() as session:
        from sqlalchemy import text

        for table in ("notification", "signup", "outbox"):
            found = await session.execute(
                text(f"select count(*) from {table} t where t::text like :token"),  # noqa: S608
                {"token": f"%{token[-40:]}%"},
            )
            assert found.scalar_one() == 0


async def test_one_address_is_not_flooded_with_mail(auth: Stage) -> None:
    for number in range(8):
        body = {"email": "flood@people.test", "password": f"{PASSWORD} {number}", "name": "Flood"}
        assert (await auth.client.post("/v1/auth/signup", json=body)).status_code == 202
    await auth.send_mail()
    assert sum(mail.to == "flood@people.test" for mail in auth.mail.mails) <= 5


@pytest.mark.asvs("15.3.3")
async def test_bad_addresses_and_unknown_fields_are_refused(auth: Stage) -> None:
    for body in (
        {"email": "no-at-sign", "password": PASSWORD, "name": "X"},
        {"email": "a@localhost", "password": PASSWORD, "name": "X"},
        {"email": "a@people.test", "password": PASSWORD, "name": "X", "role": "owner"},
        {"email": "a@people.test", "password": PASSWORD, "name": "<b>"},
        {"email": "a@people.test", "password": "short", "name": "X"},
    ):
        answer = await auth.client.post("/v1/auth/signup", json=body)
        assert answer.status_code == 422, body
        assert PASSWORD not in answer.text
