"""Requests that take a payment provider: the sandbox's Stripe."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from services.provisioner.models import Condition, Price, Subscription
from services.provisioner.plans import Catalogue
from services.provisioner.servers.service import create
from services.provisioner.settings import PLANS_FILE
from tests.examples.house import House
from tests.examples.request import WORKSPACE, Request
from tests.isolation import factories
from tests.isolation.stage import Person


async def buy(house: House, owner: Person) -> Request:
    return Request(f"{WORKSPACE}/subscriptions", {"plan": await publish_price(house), "zone": "fr-par-1"})


async def publish_price(house: House) -> str:
    """The plan, which can be bought from now on."""
    plan = Catalogue.load(PLANS_FILE).plans[0]
    product = await house.stripe.v1.products.create_async({"name": plan.name})
    price = await house.stripe.v1.prices.create_async(
        {
            "product": product.id,
            "currency": plan.currency,
            "unit_amount": plan.amount_cents,
            "recurring": {"interval": "month"},
        }
    )
    row = {
        "price_id": price.id, "amount_cents": plan.amount_cents, "currency": plan.currency,
        "seen_at": datetime.now(UTC),
    }  # fmt: skip
    async with house.world.databases["provisioner"].transaction() as session:
        await session.execute(
            insert(Price).values(plan=plan.id, **row).on_conflict_do_update(index_elements=["plan"], set_=row)
        )
    return str(plan.id)


async def portal(house: House, owner: Person) -> Request:
    customer = await house.stripe.v1.customers.create_async({"email": owner.email})
    bought = await factories.provisioner.subscription(house.world, owner.customer)
    async with house.world.databases["provisioner"].transaction() as session:
        await session.execute(
            update(Subscription).where(Subscription.id == bought.id).values(stripe_customer_id=customer.id)
        )
    return Request(f"{WORKSPACE}/billing/portal")


async def refund(house: House, owner: Person) -> Request:
    """The server waits for a zone with room, and the customer does not want to."""
    world = house.world
    bought = await factories.provisioner.subscription(world, owner.customer)
    async with world.databases["provisioner"].transaction(workspace_id=owner.workspace_id) as session:
        subscription = await session.get_one(Subscription, bought.id)
        subscription.stripe_subscription_id = f"sub_{secrets.token_hex(8)}"
        server = await create(session, subscription, "sendchief.test")
        now = datetime.now(UTC)
        stopped = {"type": "PlaceChosen", "status": "false", "reason": "OutOfStock"}
        session.add(
            Condition(
                server_id=server.id,
                workspace_id=owner.workspace_id,
                last_transition_at=now,
                since=now,
                **stopped,
            )
        )
    return Request(f"{WORKSPACE}/subscriptions/{bought.id}/refund")
