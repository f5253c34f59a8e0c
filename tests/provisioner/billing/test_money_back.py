"""Refunds and held collections at Stripe's stand-in."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from sandbox.faults import Fault
from sandbox.stripe import billing as stripe_billing
from services.provisioner.billing.refunds import Refunds
from services.provisioner.models import Refund, Subscription
from services.provisioner.ports import PaymentError
from tests.provisioner.billing.money import Money, money
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import account

__all__ = ["account", "https", "money"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_all_that_was_paid_goes_back_once_however_often_it_is_asked_for(money: Money) -> None:
    _, stripe_id = await money.paid()
    stripe_billing.renew(money.account.books, stripe_id, paid=True)
    assert await money.billing.refund(stripe_id, key="rfd_1") == 5800
    assert await money.billing.refund(stripe_id, key="rfd_1") == 5800
    assert await money.billing.refund(stripe_id, key="rfd_2") == 5800
    intents = {refund["payment_intent"] for refund in money.account.books.list("refund")}
    assert len(intents) == len(money.account.books.list("refund"))


async def test_an_answer_that_is_lost_after_the_refund_gives_nothing_back_twice(money: Money) -> None:
    _, stripe_id = await money.paid()
    before = len(money.account.books.list("refund"))
    for _ in range(3):
        money.account.faults.arm("stripe", "refunds.create", Fault("error_after_commit", status=500))
    with pytest.raises(PaymentError) as error:
        await money.billing.refund(stripe_id, key="rfd_lost")
    assert error.value.retryable
    assert await money.billing.refund(stripe_id, key="rfd_lost") == 2900
    assert len(money.account.books.list("refund")) == before + 1


async def test_nothing_is_charged_while_collection_is_held(money: Money) -> None:
    bought, stripe_id = await money.paid()
    await money.billing.hold_collection(stripe_id, held=True)
    assert stripe_billing.renew(money.account.books, stripe_id, paid=True)["status"] == "void"
    await money.deliver_all(bought)
    assert (await money.subscription(bought)).status == "active"
    await money.billing.hold_collection(stripe_id, held=False)
    assert stripe_billing.renew(money.account.books, stripe_id, paid=True)["status"] == "paid"


async def test_an_ended_subscription_is_neither_held_nor_a_defect(money: Money) -> None:
    _, stripe_id = await money.paid()
    await money.billing.end_subscription(stripe_id)
    await money.billing.hold_collection(stripe_id, held=True)


async def test_a_payment_that_comes_after_the_end_goes_back_by_itself(money: Money) -> None:
    bought = await money.bought()
    stripe_id = await money.pay(bought)
    async with money.database.transaction() as session:
        (await session.get_one(Subscription, bought)).status = "refused"
    await money.deliver_all(bought)
    await money.deliver_all(bought)
    assert await money.servers_of(bought) == 0
    await Refunds(money.database, money.billing).run()
    async with money.database.transaction() as session:
        refund = (await session.scalars(select(Refund).where(Refund.subscription_id == bought))).one()
    assert (refund.state, refund.amount, refund.reason) == ("done", 2900, "PaidAfterEnd")
    assert (await money.billing.subscription(stripe_id)).status == "canceled"


async def test_a_payment_given_up_by_stripe_ends_the_subscription_and_an_open_invoice_stays(
    money: Money,
) -> None:
    bought, stripe_id = await money.paid()
    stripe_billing.renew(money.account.books, stripe_id, paid=False)
    stripe_billing.give_up(money.account.books, stripe_id)
    await money.deliver_all(bought)
    assert (await money.subscription(bought)).status == "ended"
    assert await money.servers_of(bought) == 1
