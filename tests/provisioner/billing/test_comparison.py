"""What the nightly comparison finds between Stripe's stand-in and the servers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from sandbox.stripe import billing as stripe_billing
from sandbox.stripe import checkout as desk
from services.provisioner.billing.comparison import FINDINGS, Comparison, Finding
from services.provisioner.models import BillingComparison, BillingFinding, Server, StripeEvent, Subscription
from services.provisioner.operators import repository as operators
from shared.clock import FixedClock
from tests.provisioner.billing.money import Money, money
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import account

__all__ = ["account", "https", "money"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def comparing(money: Money, clock: FixedClock | None = None) -> Comparison:
    return Comparison(money.database, money.billing, clock or FixedClock(tomorrow()))


async def found(money: Money, subject: str) -> list[Finding]:
    return [finding for finding in await comparing(money).run() if finding.subject == subject]


async def open_rows(money: Money, subject: str) -> list[BillingFinding]:
    async with money.database.transaction() as session:
        query = select(BillingFinding).where(
            BillingFinding.subject == subject, BillingFinding.cleared_at.is_(None)
        )
        return list(await session.scalars(query))


async def change(money: Money, table: Any, subscription_id: str, **values: Any) -> None:
    column = Subscription.id if table is Subscription else Server.subscription_id
    async with money.database.transaction() as session:
        await session.execute(update(table).where(column == subscription_id).values(**values))


async def test_where_all_is_well_nothing_is_found(money: Money) -> None:
    bought, stripe_id = await money.paid()
    assert await found(money, bought) == []
    assert await found(money, stripe_id) == []


async def test_a_missed_invoice_is_found_and_takes_the_ordinary_way(money: Money) -> None:
    bought = await money.bought()
    await money.pay(bought)
    (finding,) = await found(money, bought)
    assert finding.kind == "paid_without_server"
    assert await money.servers_of(bought) == 0
    await comparing(money).run()
    await money.drain()
    assert await money.servers_of(bought) == 1
    async with money.database.transaction() as session:
        event = await session.get_one(StripeEvent, f"evt_compared_{finding.missed_invoice}")
    assert event.outcome == "granted"
    assert await found(money, bought) == []
    assert await open_rows(money, bought) == []


async def test_what_is_younger_than_an_hour_may_still_be_under_way(money: Money) -> None:
    bought = await money.bought()
    await money.pay(bought)
    soon = FixedClock(datetime.now(UTC) + timedelta(minutes=59))
    assert [one for one in await comparing(money, soon).run() if one.subject == bought] == []
    await money.deliver_all(bought)


async def test_a_server_whose_subscription_stripe_ended_is_found_and_left_alone(money: Money) -> None:
    bought, stripe_id = await money.paid()
    stripe_billing.cancel_subscription(money.account.books, stripe_id, {})
    (finding,) = await found(money, bought)
    assert finding.kind == "server_without_paid"
    assert (await money.server(bought)).desired == "present"
    await money.deliver_all(bought)


async def test_a_payment_without_a_server_is_found_also_when_the_server_is_long_gone(money: Money) -> None:
    bought, _ = await money.paid()
    gone = datetime.now(UTC) - timedelta(days=2)
    await change(money, Server, bought, desired="absent", cancelled_at=gone, deleted_at=gone)
    (finding,) = await found(money, bought)
    assert (finding.kind, finding.missed_invoice) == ("paid_without_server", None)
    await money.drain()
    assert await money.servers_of(bought) == 1


async def test_a_second_subscription_at_stripe_for_one_of_ours_is_found(money: Money) -> None:
    bought, stripe_id = await money.paid()
    row = await money.subscription(bought)
    books = money.account.books
    session = books.get("checkout.session", str(row.checkout_session_id))
    books.put(session | {"status": "open"})
    second = desk.pay(books, session["id"])["subscription"]
    (finding,) = await found(money, bought)
    assert finding.kind == "two_subscriptions"
    assert finding.details["stripe"] == sorted([stripe_id, second])


async def test_another_amount_than_agreed_is_found(money: Money) -> None:
    bought, _ = await money.paid()
    await change(money, Subscription, bought, amount_cents=1900)
    (finding,) = await found(money, bought)
    assert finding.kind == "amount_differs"
    assert (finding.details["agreed"], finding.details["charged"]) == ((1900, "eur"), (2900, "eur"))
    await change(money, Subscription, bought, amount_cents=2900)
    assert await found(money, bought) == []


async def test_a_debt_that_we_have_not_heard_of_is_found(money: Money) -> None:
    bought, stripe_id = await money.paid()
    stripe_billing.renew(money.account.books, stripe_id, paid=False)
    (finding,) = await found(money, bought)
    assert (finding.kind, finding.details["ours"]) == ("status_differs", "active")
    await money.deliver_all(bought)
    assert await found(money, bought) == []


async def test_a_paying_subscription_of_nobody_is_found_under_stripe_s_id(money: Money) -> None:
    bought, stripe_id = await money.paid()
    async with money.database.transaction() as session:
        server = (await session.scalars(select(Server).where(Server.subscription_id == bought))).one()
    books = money.account.books
    subscription = books.get("subscription", stripe_id)
    books.put(subscription | {"metadata": {"subscription_id": "sub_nobody"}})
    kinds = {one.kind for one in await comparing(money).run() if one.subject == stripe_id}
    assert kinds == {"unknown_subscription"}
    assert server.desired == "present"
    books.put(subscription)


async def test_findings_are_counted_shown_to_operators_and_cleared(money: Money) -> None:
    bought, _ = await money.paid()
    await change(money, Subscription, bought, amount_cents=1)
    await comparing(money).run()
    async with money.database.transaction() as session:
        looked, *rows = await operators.findings(session)
    assert looked["compared"] > 0
    assert ("amount_differs", bought) in {(row["kind"], row["subject"]) for row in rows}
    assert FINDINGS.labels("amount_differs")._value.get() >= 1
    await change(money, Subscription, bought, amount_cents=2900)
    await comparing(money, FixedClock(tomorrow() + timedelta(days=1))).run()
    assert await open_rows(money, bought) == []


async def test_it_is_made_once_each_night_by_one_of_several_workers(money: Money) -> None:
    async with money.database.transaction() as session:
        await session.execute(delete(BillingComparison))
    clock = FixedClock(datetime(2031, 5, 4, 1, 59, tzinfo=UTC))
    assert await comparing(money, clock).run_if_due()
    assert not await comparing(money, clock).run_if_due()
    clock.advance(timedelta(minutes=2))
    made = await asyncio.gather(*(comparing(money, clock).run_if_due() for _ in range(5)))
    assert sum(made) == 1
    clock.advance(timedelta(hours=20))
    assert not await comparing(money, clock).run_if_due()


async def test_one_that_broke_off_is_made_again_after_an_hour(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent() -> list[Any]:
        raise ConnectionError("no answer")

    clock = FixedClock(datetime(2032, 5, 4, 3, 0, tzinfo=UTC))
    with monkeypatch.context() as patch:
        patch.setattr(money.billing, "subscriptions", silent)
        with pytest.raises(ConnectionError):
            await comparing(money, clock).run_if_due()
    assert not await comparing(money, clock).run_if_due()
    clock.advance(timedelta(minutes=61))
    assert await comparing(money, clock).run_if_due()
