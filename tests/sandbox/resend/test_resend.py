"""Resend takes a mail once per key, refuses bad ones in its own vocabulary, and keeps what it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from sandbox.faults import Fault, Faults
from sandbox.resend import Books, create_app
from sandbox.store import Store

KEY = "re_test"
MAIL = {
    "from": "SendChief <hello@sendchief.test>",
    "to": "user@outside.test",
    "subject": "Hi",
    "text": "token",
}


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(Store(tmp_path / "books.sqlite3"))


@pytest.fixture
def faults() -> Faults:
    return Faults(quiet=True)


@pytest.fixture
def client(books: Books, faults: Faults) -> httpx.AsyncClient:
    app = create_app(books, faults, SecretStr(KEY), domain="sendchief.test")
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(transport=transport, base_url="https://resend.test", headers=headers)


async def test_a_mail_is_kept_and_read_by_recipient(client: httpx.AsyncClient, books: Books) -> None:
    answer = await client.post("/emails", json=MAIL)
    assert answer.status_code == 200
    kept = books.messages("USER@outside.test")
    assert [(m["id"], m["subject"], m["text"]) for m in kept] == [(answer.json()["id"], "Hi", "token")]
    assert books.messages("other@outside.test") == []
    assert (await client.get(f"/emails/{answer.json()['id']}")).json()["last_event"] == "delivered"


async def test_the_same_key_sends_once_and_another_body_is_refused(
    client: httpx.AsyncClient, books: Books
) -> None:
    headers = {"Idempotency-Key": "signup/usr_1"}
    first = await client.post("/emails", json=MAIL, headers=headers)
    second = await client.post("/emails", json=MAIL, headers=headers)
    assert first.json() == second.json()
    other = await client.post("/emails", json=MAIL | {"subject": "Other"}, headers=headers)
    assert (other.status_code, other.json()["name"]) == (409, "invalid_idempotent_request")
    assert len(books.messages()) == 1


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"to": ""}, 422, "missing_required_field"),
        ({"text": ""}, 422, "validation_error"),
        ({"to": "not an address"}, 422, "validation_error"),
        ({"to": [f"u{n}@outside.test" for n in range(51)]}, 422, "validation_error"),
        ({"from": "a@elsewhere.test"}, 403, "validation_error"),
        ({"from": "a@evilsendchief.test"}, 403, "validation_error"),
        ({"colour": "red"}, 422, "validation_error"),
        ({"tags": [{"name": "a b", "value": "x"}]}, 422, "validation_error"),
    ],
)
async def test_a_bad_mail_is_refused(
    client: httpx.AsyncClient, books: Books, change: dict[str, Any], status: int, name: str
) -> None:
    answer = await client.post("/emails", json=MAIL | change)
    assert (answer.status_code, answer.json()["name"], answer.json()["statusCode"]) == (status, name, status)
    assert books.messages() == []


@pytest.mark.parametrize(
    ("header", "status", "name"), [("", 401, "missing_api_key"), ("Bearer re_other", 403, "invalid_api_key")]
)
async def test_a_missing_or_wrong_key_is_refused(
    client: httpx.AsyncClient, header: str, status: int, name: str
) -> None:
    answer = await client.post("/emails", json=MAIL, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["name"]) == (status, name)


async def test_a_lost_answer_with_a_key_sends_once(
    client: httpx.AsyncClient, books: Books, faults: Faults
) -> None:
    faults.arm("resend", "emails.send", Fault("error_after_commit", status=500))
    headers = {"Idempotency-Key": "k"}
    assert (await client.post("/emails", json=MAIL, headers=headers)).json()["name"] == "application_error"
    assert (await client.post("/emails", json=MAIL, headers=headers)).status_code == 200
    assert len(books.messages()) == 1
    faults.arm("resend", "emails.send", Fault("rate_limit", seconds=2))
    limited = await client.post("/emails", json=MAIL)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "2")
