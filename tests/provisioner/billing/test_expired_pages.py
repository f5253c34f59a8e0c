"""A payment page that nobody pays expires after a day; what follows, in whatever order it is told."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import func, select, update

from sandbox.stripe import billing as stripe_billing
from sandbox.stripe import checkout as desk
from services.provisioner.billing.service import ask_about_old_pages
from services.provisioner.models import StripeEvent, Subscription
from shared.contracts.auth_events import WorkspaceDeletionRequested
from tests.provisioner.billing.money import Money, money
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import account

__all__ = ["account", "https", "money"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def page_of(money: Money, subscription_id: str) -> str:
    return str((await money.subscription(subscription_id)).checkout_session_id)


async def expired(money: Money) -> str:
    """Bought, and the page has expired at Stripe; nobody has told us yet."""
    bought = await money.bought()
    desk.expire(money.account.books, await page_of(money, bought))
    return bought


async def outcome(money: Money, event: dict[str, Any]) -> str | None:
    async with money.database.transaction() as session:
        return (await session.get_one(StripeEvent, event["id"])).outcome


async def shown(money: Money, subscription_id: str) -> dict[str, Any]:
    reply = await money.api.get(f"{money.api.path}/subscriptions/{subscription_id}")
    return dict(reply.json())


async def test_a_page_that_expired_ends_the_purchase_without_a_link(money: Money) -> None:
    bought = await expired(money)
    await money.deliver_all(bought)
    seen = await shown(money, bought)
    assert (seen["status"], seen["checkout_url"], seen["activated_at"]) == ("expired", None, None)
    assert await money.servers_of(bought) == 0


async def test_buying_again_opens_another_page_that_can_be_paid(money: Money) -> None:
    first = await expired(money)
    await money.deliver_all(first)
    second, _ = await money.paid()
    assert second != first
    assert await money.servers_of(second) == 1
    assert (await money.subscription(first)).status == "expired"


async def test_an_expiry_that_stripe_does_not_confirm_changes_nothing(money: Money) -> None:
    bought = await money.bought()
    event = {"id": f"evt_early{bought[4:]}", "type": "checkout.session.expired"}
    await money.deliver({**event, "data": {"object": {"id": await page_of(money, bought)}}})
    await money.drain()
    assert await outcome(money, event) == "page_open"
    assert (await shown(money, bought))["status"] == "pending"
    await money.pay(bought)
    await money.deliver_all(bought)
    assert await money.servers_of(bought) == 1


async def test_an_expiry_told_of_a_page_that_was_paid_ends_nothing(money: Money) -> None:
    bought, _ = await money.paid()
    event = {"id": f"evt_wrong{bought[4:]}", "type": "checkout.session.expired"}
    await money.deliver({**event, "data": {"object": {"id": await page_of(money, bought)}}})
    await money.drain()
    assert await outcome(money, event) == "page_complete"
    assert (await shown(money, bought))["status"] == "active"


async def test_in_whatever_order_expiry_and_payment_are_told_who_has_paid_has_one_server(
    money: Money,
) -> None:
    """Two pages for one purchase: a key that Stripe has forgotten opens another. One expires, the other is paid."""
    for order in permutations(range(3)):
        bought = await money.bought()
        books = money.account.books
        first = books.get("checkout.session", await page_of(money, bought))
        metadata = first["metadata"]
        item = {"price": (await money.subscription(bought)).price_id, "quantity": "1"}
        second = desk.create_session(
            books,
            {
                "mode": "subscription",
                "line_items": [item],
                "metadata": metadata,
                "subscription_data": {"metadata": metadata},
                "success_url": first["success_url"],
            },
            "https://pay.test",
        )
        desk.expire(books, first["id"])
        desk.pay(books, second["id"])
        kinds = ("checkout.session.expired", "customer.subscription.created", "invoice.paid")
        told = [next(one for one in money.events(bought) if one["type"] == kind) for kind in kinds]
        for number in order:
            await money.deliver(told[number])
            await money.drain()
        assert await money.servers_of(bought) == 1
        assert (await money.subscription(bought)).status == "active"


async def test_a_subscription_that_has_ended_is_not_made_an_expired_one(money: Money) -> None:
    bought, stripe_id = await money.paid()
    stripe_billing.cancel_subscription(money.account.books, stripe_id, {})
    await money.deliver_all(bought)
    books = money.account.books
    books.put(books.get("checkout.session", await page_of(money, bought)) | {"status": "expired"})
    event = {"id": f"evt_late{bought[4:]}", "type": "checkout.session.expired"}
    await money.deliver({**event, "data": {"object": {"id": await page_of(money, bought)}}})
    await money.drain()
    assert await outcome(money, event) == "still_ended"


async def test_an_expiry_that_was_never_told_is_found_by_asking(money: Money) -> None:
    bought = await expired(money)
    assert await ask_about_old_pages(money.database) == 0
    async with money.database.transaction() as session:
        await session.execute(
            update(Subscription)
            .where(Subscription.id == bought)
            .values(created_at=func.now() - timedelta(days=3))
        )
    assert await ask_about_old_pages(money.database) == 1
    assert await ask_about_old_pages(money.database) == 0
    await money.drain()
    assert (await money.subscription(bought)).status == "expired"


async def test_a_page_of_a_workspace_that_leaves_can_not_be_paid_any_more_though_it_had_expired(
    money: Money,
) -> None:
    bought = await expired(money)
    await money.deliver_all(bought)
    row = await money.subscription(bought)
    await money.api.stage.others.bus.deliver(WorkspaceDeletionRequested(workspace_id=row.workspace_id))
    async with money.database.transaction() as session:
        status = await session.scalar(select(Subscription.status).where(Subscription.id == bought))
    assert status == "refused"
