"""Webhooks as they really come: many at once, in any order, late. Stripe's stand-in answers every look."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from sandbox.stripe import billing as stripe_billing
from services.provisioner.billing import grant, repository
from services.provisioner.models import StripeEvent
from tests.provisioner.billing.money import Money, money
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import account

__all__ = ["account", "https", "money"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_twenty_deliveries_at_once_and_five_workers_make_one_server(money: Money) -> None:
    bought = await money.bought()
    await money.pay(bought)
    events = money.events(bought)
    replies = await asyncio.gather(*(money.deliver(events[n % len(events)]) for n in range(20)))
    assert sum(reply.json()["new"] for reply in replies) == len(events)
    await asyncio.gather(*(money.drain() for _ in range(5)))
    assert await money.servers_of(bought) == 1
    assert (await money.subscription(bought)).status == "active"


async def test_a_payment_that_is_told_three_days_late_still_makes_the_server(money: Money) -> None:
    bought = await money.bought()
    stripe_id = await money.pay(bought)
    paid = next(event for event in money.events(bought) if event["type"] == "invoice.paid")
    later = paid | {"created": paid["created"] - 3 * 86_400}
    stripe_billing.renew(money.account.books, stripe_id, paid=False)
    for event in money.events(bought):
        if event["type"] != "invoice.paid":
            await money.deliver(event)
    await money.drain()
    assert await money.servers_of(bought) == 0
    await money.deliver(later)
    await money.drain()
    assert await money.servers_of(bought) == 1
    assert (await money.subscription(bought)).status == "past_due"


async def test_a_look_that_was_overtaken_does_not_put_back_what_a_later_one_saw(money: Money) -> None:
    bought = await money.bought()
    stripe_id = await money.pay(bought)
    await money.deliver_all(bought)
    async with money.database.transaction() as session:
        early = await repository.next_look(session)
    stale = await money.billing.subscription(stripe_id)
    stripe_billing.renew(money.account.books, stripe_id, paid=False)
    await money.deliver_all(bought)
    assert (await money.subscription(bought)).status == "past_due"
    async with money.database.transaction() as session:
        assert await grant.take_in(session, stale, early, "sendchief.test", paid=True) == grant.OVERTAKEN
    assert (await money.subscription(bought)).status == "past_due"


async def test_an_old_paid_invoice_told_again_does_not_restore_who_owes_a_newer_one(money: Money) -> None:
    bought = await money.bought()
    stripe_id = await money.pay(bought)
    first = next(event for event in money.events(bought) if event["type"] == "invoice.paid")
    await money.deliver_all(bought)
    stripe_billing.renew(money.account.books, stripe_id, paid=False)
    await money.deliver_all(bought)
    await money.deliver(first | {"id": "evt_again" + first["id"][4:]})
    await money.drain()
    assert (await money.subscription(bought)).status == "past_due"


async def test_a_crash_between_the_effect_and_the_mark_changes_nothing(money: Money) -> None:
    bought = await money.bought()
    await money.pay(bought)
    await money.deliver_all(bought)
    async with money.database.transaction() as session:
        for event in await session.scalars(select(StripeEvent)):
            event.processed_at, event.next_at = None, func.now()
    await money.drain()
    assert await money.servers_of(bought) == 1


MOVES = ("pay", "fail", "settle", "end", "tell", "tell", "tell", "work")


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 30)), max_size=10))
async def test_in_whatever_order_it_is_told_one_server_and_the_state_that_stripe_has(
    money: Money, moves: list[tuple[str, int]]
) -> None:
    """Stripe's state goes on while events are told in any order, twice or not yet; in the end all have been told."""
    bought = await money.bought()
    stripe_id = await money.pay(bought)
    for move, number in moves:
        if move == "tell":
            events = money.events(bought)
            await money.deliver(events[number % len(events)])
        elif move == "work":
            await money.drain()
        else:
            money.goes_on(stripe_id, move)
        assert await money.servers_of(bought) <= 1
    for event in reversed(money.events(bought)):
        await money.deliver(event)
    await asyncio.gather(money.drain(), money.drain())
    row = await money.subscription(bought)
    standing = (await money.billing.subscription(stripe_id)).standing()
    if row.activated_at is None:
        assert standing == "ended"
        assert await money.servers_of(bought) == 0
    else:
        assert await money.servers_of(bought) == 1
        assert row.status == {"good": "active", "due": "past_due", "ended": "ended"}[standing]
