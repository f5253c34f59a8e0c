"""From a signed webhook to exactly one server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import select

from services.provisioner.billing.inbox import Inbox
from services.provisioner.models import Server, StripeEvent, Subscription
from services.provisioner.ports import PaymentInvoice, PaymentSubscription
from shared.contracts.provisioner_events import PaymentFailed, SubscriptionEnded
from shared.ids import new_id
from tests.provisioner.api import Api
from tests.provisioner.stage import ZONE


async def bought(api: Api) -> str:
    reply = await api.post(f"{api.path}/subscriptions", {"plan": "starter", "zone": "fr-par-1"})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def paid(api: Api, subscription_id: str, *, number: int = 1, status: str = "paid") -> dict[str, Any]:
    """What Stripe has after the payment, and the event that tells of it."""
    billing = api.stage.outside.billing
    stripe_id = f"sub_stripe{number}"
    billing.invoices[f"in_{number}"] = PaymentInvoice(
        id=f"in_{number}", status=status, stripe_subscription_id=stripe_id
    )
    billing.agreements[stripe_id] = PaymentSubscription(
        id=stripe_id,
        status="active",
        customer_id="cus_1",
        metadata={"subscription_id": subscription_id, "workspace_id": api.workspace_id},
    )
    return {"id": f"evt_{number}", "type": "invoice.paid", "data": {"object": {"id": f"in_{number}"}}}


def inbox_of(api: Api) -> Inbox:
    return Inbox(api.stage.database, api.stage.outside.billing, ZONE)


async def drain(api: Api) -> None:
    while await inbox_of(api).work_once():
        pass


async def servers_of(api: Api) -> list[Server]:
    async with api.stage.database.transaction() as session:
        return list(await session.scalars(select(Server)))


async def outcomes(api: Api) -> dict[str, str | None]:
    async with api.stage.database.transaction() as session:
        return {row.id: row.outcome for row in await session.scalars(select(StripeEvent))}


async def test_a_paid_invoice_makes_the_subscription_active_and_one_server(api: Api) -> None:
    subscription_id = await bought(api)
    assert await servers_of(api) == []
    assert (await api.webhook(paid(api, subscription_id))).json() == {"received": True, "new": True}
    await drain(api)
    view = (await api.get(f"{api.path}/subscriptions/{subscription_id}")).json()
    assert view["status"] == "active"
    assert view["checkout_url"] is None
    servers = (await api.get(f"{api.path}/servers")).json()["items"]
    assert [row["subscription_id"] for row in servers] == [subscription_id]
    assert servers[0]["state"] == "provisioning"
    jobs = (await api.get(f"{api.path}/servers/{servers[0]['id']}/jobs")).json()["items"]
    assert [job["kind"] for job in jobs] == ["provision"]


async def test_the_same_event_many_times_makes_one_server(api: Api) -> None:
    event = paid(api, await bought(api))
    replies = await asyncio.gather(*(api.webhook(event) for _ in range(5)))
    assert sum(reply.json()["new"] for reply in replies) == 1
    await asyncio.gather(*(drain(api) for _ in range(3)))
    assert len(await servers_of(api)) == 1


async def test_many_paid_invoices_of_one_subscription_make_one_server(api: Api) -> None:
    subscription_id = await bought(api)
    await api.webhook(paid(api, subscription_id))
    second = paid(api, subscription_id)
    await api.webhook({**second, "id": "evt_renewal"})
    await asyncio.gather(*(drain(api) for _ in range(3)))
    assert len(await servers_of(api)) == 1
    assert sorted(str(value) for value in (await outcomes(api)).values()) == ["granted", "still_active"]


async def test_a_second_stripe_subscription_for_one_of_ours_is_refused(api: Api) -> None:
    subscription_id = await bought(api)
    await api.webhook(paid(api, subscription_id, number=1))
    await drain(api)
    await api.webhook(paid(api, subscription_id, number=2))
    await drain(api)
    assert len(await servers_of(api)) == 1
    assert (await outcomes(api))["evt_2"] == "another_subscription"


async def test_other_events_first_and_late_payment_still_make_one_server(api: Api) -> None:
    subscription_id = await bought(api)
    event = paid(api, subscription_id)
    for number, kind in enumerate(("customer.subscription.updated", "checkout.session.completed")):
        await api.webhook({"id": f"evt_x{number}", "type": kind, "data": {"object": {"id": "sub_stripe1"}}})
    await drain(api)
    assert await servers_of(api) == []
    await api.webhook(event)
    await drain(api)
    assert len(await servers_of(api)) == 1


@pytest.mark.asvs("2.3.1")
async def test_an_event_about_an_unpaid_invoice_grants_nothing(api: Api) -> None:
    await api.webhook(paid(api, await bought(api), status="open"))
    await drain(api)
    assert await servers_of(api) == []
    assert list((await outcomes(api)).values()) == ["not_paid"]


async def test_a_payment_for_another_workspace_s_subscription_grants_nothing(api: Api) -> None:
    event = paid(api, await bought(api))
    known = api.stage.outside.billing.agreements["sub_stripe1"]
    api.stage.outside.billing.agreements["sub_stripe1"] = known.model_copy(
        update={"metadata": {**known.metadata, "workspace_id": new_id("ws")}}
    )
    await api.webhook(event)
    await drain(api)
    assert await servers_of(api) == []


async def test_stripe_s_silence_is_retried_later(api: Api) -> None:
    await api.webhook(paid(api, await bought(api)))
    api.stage.outside.billing.away = 1
    assert await inbox_of(api).work_once()
    assert await servers_of(api) == []
    async with api.stage.database.transaction() as session:
        event = (await session.scalars(select(StripeEvent))).one()
        assert event.attempts == 1
        event.next_at = event.received_at
    await drain(api)
    assert len(await servers_of(api)) == 1


# Past the 300 s by more than a slow machine may take to deliver.
@pytest.mark.parametrize("offset", [-301, 360, -86400, 3600])
async def test_a_timestamp_too_far_away_is_refused_both_ways(api: Api, offset: int) -> None:
    reply = await api.webhook(paid(api, await bought(api)), at=time.time() + offset)
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_signature")
    assert await outcomes(api) == {}


async def test_a_forged_webhook_is_refused(api: Api) -> None:
    event = paid(api, await bought(api))
    assert (await api.webhook(event, secret="whsec_other")).status_code == 400
    unsigned = await api.client.post("/v1/webhooks/stripe", json=event)
    assert unsigned.status_code == 400
    v0 = await api.client.post(
        "/v1/webhooks/stripe", json=event, headers={"Stripe-Signature": f"t={int(time.time())},v0=00"}
    )
    assert v0.status_code == 400
    assert await outcomes(api) == {}


async def test_a_signed_body_that_is_no_event_is_refused(api: Api) -> None:
    assert (await api.webhook({"hello": "world"})).status_code == 400


async def test_an_announced_invoice_that_has_no_id_yet_is_taken_and_noted(api: Api) -> None:
    event = {"id": "evt_soon", "type": "invoice.upcoming", "data": {"object": {"object": "invoice"}}}
    assert (await api.webhook(event)).json() == {"received": True, "new": True}
    await drain(api)
    assert await outcomes(api) == {"evt_soon": "noted"}


async def test_a_body_of_a_megabyte_and_more_is_refused(api: Api) -> None:
    reply = await api.client.post("/v1/webhooks/stripe", content=b"x" * (1024 * 1024 + 1))
    assert reply.status_code == 413


async def test_a_payment_after_the_workspace_began_to_leave_makes_no_server(api: Api) -> None:
    subscription_id = await bought(api)
    async with api.stage.database.transaction() as session:
        (await session.get_one(Subscription, subscription_id)).status = "refused"
    await api.webhook(paid(api, subscription_id))
    await drain(api)
    assert await servers_of(api) == []
    assert list((await outcomes(api)).values()) == ["refund_due"]


async def test_a_subscription_that_stripe_ended_is_shown_as_ended(api: Api) -> None:
    subscription_id = await bought(api)
    await api.webhook(paid(api, subscription_id))
    await drain(api)
    known = api.stage.outside.billing.agreements["sub_stripe1"]
    api.stage.outside.billing.agreements["sub_stripe1"] = known.model_copy(update={"status": "canceled"})
    await api.webhook(
        {"id": "evt_end", "type": "customer.subscription.deleted", "data": {"object": {"id": "sub_stripe1"}}}
    )
    await drain(api)
    assert (await api.get(f"{api.path}/subscriptions/{subscription_id}")).json()["status"] == "ended"
    told = await api.stage.others.bus.emitted(SubscriptionEnded)
    assert [event.plan for event in told if event.subscription_id == subscription_id] != []


async def test_a_payment_that_fails_is_told_once(api: Api) -> None:
    subscription_id = await bought(api)
    await api.webhook(paid(api, subscription_id))
    await drain(api)
    known = api.stage.outside.billing.agreements["sub_stripe1"]
    api.stage.outside.billing.agreements["sub_stripe1"] = known.model_copy(update={"status": "past_due"})
    for number in range(2):
        data = {"object": {"id": "sub_stripe1"}}
        await api.webhook({"id": f"evt_due{number}", "type": "customer.subscription.updated", "data": data})
        await drain(api)
    told = await api.stage.others.bus.emitted(PaymentFailed)
    assert [event.subscription_id for event in told].count(subscription_id) == 1
