"""kill -9 while money is taken in or goes back: another worker finishes, and nothing happens twice."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from services.provisioner.billing import refunds, repository
from services.provisioner.models import Refund, Server, StripeEvent, Subscription
from services.provisioner.ports import PaymentInvoice, PaymentSubscription
from shared.contracts.provisioner_events import SubscriptionActivated, SubscriptionRefunded
from shared.ids import new_id
from tests.provisioner.reconciler.crashpoints import PAYING, REFUNDING
from tests.provisioner.stage import Stage
from tests.provisioner.workers import Workers


async def told_of_a_payment(stage: Stage) -> str:
    """A subscription that Stripe has been paid for, and the event in the inbox."""
    row = Subscription(
        id=new_id("sub"),
        workspace_id=new_id("ws"),
        plan="starter",
        zone="fr-par-1",
        status="pending",
        checkout_session_id="cs_1",
        created_by=new_id("usr"),
        version=1,
    )
    billing = stage.outside.billing
    billing.invoices["in_1"] = PaymentInvoice(id="in_1", status="paid", stripe_subscription_id="sub_s")
    billing.agreements["sub_s"] = PaymentSubscription(
        id="sub_s",
        status="active",
        customer_id="cus_1",
        metadata={"subscription_id": row.id, "workspace_id": row.workspace_id},
    )
    async with stage.database.transaction() as session:
        session.add(row)
        await repository.remember(session, "evt_1", "invoice.paid", "in_1")
    return row.id


@pytest.mark.parametrize("crashpoint", PAYING)
async def test_killed_before_an_event_was_marked_another_worker_makes_no_second_server(
    workers: Workers, crashpoint: str
) -> None:
    stage = workers.stage
    subscription_id = await told_of_a_payment(stage)

    async def marked() -> bool:
        async with stage.database.transaction() as session:
            return (await session.get_one(StripeEvent, "evt_1")).processed_at is not None

    await workers.taken_over(crashpoint, marked, pays=True)
    async with stage.database.transaction() as session:
        query = select(func.count()).where(Server.subscription_id == subscription_id)
        assert await session.scalar(query) == 1
        assert (await session.get_one(StripeEvent, "evt_1")).attempts == 2
    assert len(await stage.others.bus.emitted(SubscriptionActivated)) == 1


@pytest.mark.parametrize("crashpoint", REFUNDING)
async def test_killed_while_money_goes_back_another_worker_asks_under_the_same_key(
    workers: Workers, crashpoint: str
) -> None:
    stage = workers.stage
    server = await stage.paid()
    async with stage.database.transaction() as session:
        row = await session.get_one(Subscription, server.subscription_id)
        await refunds.request(
            session, row, str(row.stripe_subscription_id), reason="OutOfStock", requested_by="test"
        )

    async def done() -> bool:
        async with stage.database.transaction() as session:
            return (await session.scalars(select(Refund))).one().state == "done"

    await workers.taken_over(crashpoint, done, pays=True)
    async with stage.database.transaction() as session:
        refund = (await session.scalars(select(Refund))).one()
    assert set(stage.outside.billing.refunded) == {refund.id}
    assert len(await stage.others.bus.emitted(SubscriptionRefunded)) == 1
