"""The provisioner's money with Stripe's stand-in behind it: its real SDK, real webhooks, the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import func, select

from sandbox.stripe import billing as stripe_billing
from sandbox.stripe import checkout as desk
from services.provisioner.billing.inbox import Inbox
from services.provisioner.billing.prices import Prices
from services.provisioner.models import Server, Subscription
from services.provisioner.providers.stripe import StripeBilling, StripeCheckout, client
from services.provisioner.providers.stripe_prices import StripePrices
from shared.db.database import Database
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.provisioner.api import Api
from tests.provisioner.stage import ZONE, Stage
from tests.sandbox.stripe.conftest import RESTRICTED, SECRET, Account


@dataclass
class Money:
    """One workspace that buys, and the worker's hands."""

    api: Api
    account: Account
    billing: StripeBilling
    prices: StripePrices

    @property
    def database(self) -> Database:
        return self.api.stage.database

    async def bought(self, plan: str = "starter") -> str:
        reply = await self.api.post(f"{self.api.path}/subscriptions", {"plan": plan, "zone": "fr-par-1"})
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    async def pay(self, subscription_id: str) -> str:
        """The buyer pays at Stripe; the id of Stripe's subscription."""
        row = await self.subscription(subscription_id)
        return str(desk.pay(self.account.books, str(row.checkout_session_id))["subscription"])

    async def paid(self, plan: str = "starter") -> tuple[str, str]:
        """Bought, paid and told: our id and Stripe's."""
        bought = await self.bought(plan)
        stripe_id = await self.pay(bought)
        await self.deliver_all(bought)
        return bought, stripe_id

    def goes_on(self, stripe_id: str, move: str) -> None:
        """What may happen at Stripe: the next period is paid or not, a debt is settled, it ends."""
        books = self.account.books
        now = books.get("subscription", stripe_id)
        if now["status"] == "canceled":
            return
        if move == "pay" and now["status"] == "active":
            stripe_billing.renew(books, stripe_id, paid=True)
        elif move == "fail" and now["status"] == "active":
            stripe_billing.renew(books, stripe_id, paid=False)
        elif move == "settle" and now["status"] == "past_due":
            stripe_billing.settle(books, now["latest_invoice"])
        elif move == "end":
            stripe_billing.cancel_subscription(books, stripe_id, {})

    def events(self, subscription_id: str) -> list[dict[str, Any]]:
        """Every event that Stripe has about a subscription of ours, oldest first."""
        return [event for event in self.account.books.list("event")[::-1] if subscription_id in str(event)]

    async def deliver(self, event: dict[str, Any]) -> httpx.Response:
        return await self.api.webhook(event)

    async def deliver_all(self, subscription_id: str) -> None:
        for event in self.events(subscription_id):
            await self.deliver(event)
        await self.drain()

    async def drain(self) -> None:
        inbox = Inbox(self.database, self.billing, ZONE)
        while await inbox.work_once():
            pass

    async def subscription(self, subscription_id: str) -> Subscription:
        async with self.database.transaction() as session:
            return await session.get_one(Subscription, subscription_id)

    async def servers_of(self, subscription_id: str) -> int:
        async with self.database.transaction() as session:
            query = select(func.count()).where(Server.subscription_id == subscription_id)
            return int(await session.scalar(query) or 0)

    async def server(self, subscription_id: str) -> Server:
        async with self.database.transaction() as session:
            return (
                await session.scalars(select(Server).where(Server.subscription_id == subscription_id))
            ).one()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def money(account: Account, service_database: ServiceDatabases, trust: Trust) -> AsyncIterator[Money]:
    database = service_database("provisioner")
    stage = Stage.build(trust, database)
    api_client = client(SecretStr(RESTRICTED), account.url, account.ca_file)
    api = Api.build(stage, trust, database, checkout=StripeCheckout(api_client, "https://app.test"))
    billing = StripeBilling(client(SecretStr(SECRET), account.url, account.ca_file))
    prices = StripePrices(client(SecretStr(SECRET), account.url, account.ca_file))
    await Prices(stage.database, stage.ports.catalogue, prices).run()
    yield Money(api, account, billing, prices)
    await api.aclose()
    await stage.database.dispose()
