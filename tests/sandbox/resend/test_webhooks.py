"""What becomes of a mail is told by webhook, signed, again and again until it is taken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.faults import Fault, Faults
from sandbox.resend import Books, Webhooks
from sandbox.serve import HttpServers
from sandbox.store import Store
from tests.sandbox.conftest import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEY = b"a key of 24 bytes, fine."
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass
class Customer:
    """Takes webhooks and checks them as the documentation says; answers the statuses in `answers` first."""

    books: Books
    webhooks: Webhooks
    faults: Faults
    taken: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def hook(self, request: Request) -> Response:
        if self.answers:
            return Response(status_code=self.answers.pop(0))
        body = await request.body()
        name, stamp = request.headers["svix-id"], request.headers["svix-timestamp"]
        mac = hmac.new(KEY, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
        assert request.headers["svix-signature"] == "v1," + base64.b64encode(mac).decode()
        assert abs(time.time() - int(stamp)) < 60
        self.taken.append({"id": name, **json.loads(body)})
        return Response()

    def send(self, to: str) -> dict[str, Any]:
        tags = [{"name": "kind", "value": "test"}]
        return self.books.add({"from": "a@b.test", "to": [to], "subject": "S", "text": "T", "tags": tags})

    async def told(self, mail: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            return [each for each in self.taken if each["data"]["email_id"] == mail["id"]]

        async def enough() -> bool:
            return len(found()) >= count

        await until(enough)
        return found()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def customer(
    https: tuple[HttpServers, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Customer]:
    servers, ca_file = https
    books = Books(Store(tmp_path_factory.mktemp("resend") / "books.sqlite3"))
    faults = Faults(quiet=True)
    webhooks = Webhooks(books, faults, SECRET, time.time)
    made = Customer(books, webhooks, faults)
    url = servers.reserve("customer")
    await servers.start("customer", Starlette(routes=[Route("/hook", made.hook, methods=["POST"])]))
    webhooks.configure(f"{url}/hook", str(ca_file))
    task = asyncio.create_task(webhooks.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_ordinary_mail_is_delivered(customer: Customer) -> None:
    mail = customer.send("ordinary@outside.test")
    (event,) = await customer.told(mail)
    assert (event["type"], event["data"]["to"]) == ("email.delivered", ["ordinary@outside.test"])
    assert event["data"]["tags"] == {"kind": "test"}
    kept = customer.books.get(mail["id"])
    assert kept is not None
    assert kept["last_event"] == "delivered"


@pytest.mark.parametrize(
    ("address", "types"),
    [
        ("bounced@resend.dev", ["email.bounced"]),
        ("complained+x@resend.dev", ["email.delivered", "email.complained"]),
        ("suppressed@resend.dev", ["email.suppressed"]),
        ("somebody@resend.dev", ["email.delivered"]),
    ],
)
async def test_the_addresses_for_trying_out_do_as_they_are_called(
    customer: Customer, address: str, types: list[str]
) -> None:
    events = await customer.told(customer.send(address), len(types))
    assert sorted(event["type"] for event in events) == sorted(types)


async def test_a_recipient_does_what_is_set_for_it_until_it_is_taken_back(customer: Customer) -> None:
    customer.books.set_outcome("Full@outside.test", "soft_bounced")
    (event,) = await customer.told(customer.send("full@outside.test"))
    assert (event["type"], event["data"]["bounce"]["type"]) == ("email.bounced", "Transient")
    customer.books.set_outcome("full@outside.test", None)
    (event,) = await customer.told(customer.send("full@outside.test"))
    assert event["type"] == "email.delivered"


async def test_something_can_become_of_a_mail_later(customer: Customer) -> None:
    mail = customer.send("later@outside.test")
    await customer.told(mail)
    customer.webhooks.happen(mail, "later@outside.test", "complained")
    events = await customer.told(mail, 3)
    assert "email.complained" in [event["type"] for event in events]
    with pytest.raises(ValueError, match="known: delivered"):
        customer.webhooks.happen(mail, "later@outside.test", "eaten")


async def test_a_refused_event_comes_again_under_its_own_id(customer: Customer) -> None:
    customer.answers = [503]
    mail = customer.send("again@outside.test")
    (event,) = await customer.told(mail)
    delivery = next(each for each in customer.webhooks.deliveries() if each["event"] == event["id"])
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == [503, 200]


async def test_an_event_is_told_twice_when_asked(customer: Customer) -> None:
    customer.faults.arm("resend", "webhook.email.delivered", Fault("duplicate"))
    first, second = await customer.told(customer.send("twice@outside.test"), 2)
    assert first == second
    customer.webhooks.resend(first["id"])
    with pytest.raises(KeyError):
        customer.webhooks.resend("msg_none")
