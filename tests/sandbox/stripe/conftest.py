"""The Stripe stand-in over HTTPS with a merchant that takes its webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import stripe
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.faults import Faults
from sandbox.serve import HttpServers
from sandbox.store import Store
from sandbox.stripe import Books, Webhooks, create_app
from sandbox.stripe.app import Keys
from tests.sandbox.conftest import until

SECRET, RESTRICTED, WEBHOOK = "sk_test_contract", "rk_test_contract", "whsec_contract"


@dataclass
class Merchant:
    """Takes webhooks; answers the statuses in `answers` first, then 200."""

    events: list[stripe.Event] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def webhook(self, request: Request) -> Response:
        if self.answers:
            return Response(status_code=self.answers.pop(0))
        body = await request.body()
        event = stripe.Webhook.construct_event(body, request.headers["stripe-signature"], WEBHOOK)
        self.events.append(event)
        return Response()

    async def until(self, kind: str, count: int = 1) -> list[stripe.Event]:
        """The events of a type, as soon as there are `count`."""

        async def enough() -> bool:
            return len([e for e in self.events if e.type == kind]) >= count

        await until(enough)
        return [e for e in self.events if e.type == kind]


@dataclass
class Account:
    """What a test needs of the vendor and the merchant."""

    url: str
    ca_file: Path
    books: Books
    faults: Faults
    webhooks: Webhooks
    merchant: Merchant

    def http(self, key: str = SECRET) -> httpx.AsyncClient:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        return httpx.AsyncClient(base_url=self.url, verify=trust, headers={"Authorization": f"Bearer {key}"})

    def sdk(self, key: str = SECRET) -> stripe.StripeClient:
        return stripe.StripeClient(
            key, base_addresses={"api": self.url}, http_client=stripe.HTTPXClient(), max_network_retries=0
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account(
    https: tuple[HttpServers, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Account]:
    servers, ca_file = https
    books = Books(Store(tmp_path_factory.mktemp("stripe") / "books.sqlite3"), time.time)
    faults = Faults(quiet=True)
    webhooks = Webhooks(books, faults, WEBHOOK, time.time)
    merchant = Merchant()
    url = servers.reserve("stripe")
    keys = Keys(SecretStr(SECRET), SecretStr(RESTRICTED))
    await servers.start("stripe", create_app(books, faults, keys, public_url=url, now=time.time))
    hook = servers.reserve("merchant")
    await servers.start("merchant", Starlette(routes=[Route("/hook", merchant.webhook, methods=["POST"])]))
    webhooks.configure(f"{hook}/hook", str(ca_file))
    task = asyncio.create_task(webhooks.run())
    # The SDK takes its authorities from this module-wide setting only.
    bundle, stripe.ca_bundle_path = stripe.ca_bundle_path, str(ca_file)
    yield Account(url, ca_file, books, faults, webhooks, merchant)
    stripe.ca_bundle_path = bundle
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def open_session(account: Account) -> stripe.checkout.Session:
    """A checkout session for one server at 19 EUR a month."""
    client = account.sdk()
    product = await client.v1.products.create_async({"name": "Mail server"})
    price = await client.v1.prices.create_async(
        {"product": product.id, "currency": "eur", "unit_amount": 1900, "recurring": {"interval": "month"}}
    )
    return await client.v1.checkout.sessions.create_async(
        {
            "mode": "subscription",
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://app.test/ok?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://app.test/cancel",
            "client_reference_id": "sub_ours",
            "customer_email": "owner@outside.test",
            "subscription_data": {"metadata": {"subscription": "sub_ours"}},
        }
    )


def page_of(session: stripe.checkout.Session) -> str:
    """Where the session is paid."""
    assert session.url is not None
    return session.url
