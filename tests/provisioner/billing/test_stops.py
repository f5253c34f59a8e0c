"""A server that cannot be made: told, not charged, and the customer waits or has the payment back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from services.provisioner.billing.holds import Holds
from services.provisioner.billing.refunds import Refunds
from services.provisioner.models import Refund, Server, Subscription
from services.provisioner.ports import CloudQuota, PaymentError
from shared.contracts.provisioner_events import ServerStalled, SubscriptionRefunded
from tests.provisioner.api import Api
from tests.provisioner.stage import Stage


def out_of_stock(stage: Stage) -> None:
    stage.outside.cloud.stock.clear()


def quota(stage: Stage) -> None:
    stage.outside.cloud.faults.refuse["create_instance"] = [CloudQuota("full")] * 50


def every_address_listed(stage: Stage) -> None:
    class All(set[str]):
        def __contains__(self, _: object) -> bool:
            return True

    stage.others.listed = All()


STOPS = [(out_of_stock, "OutOfStock"), (quota, "QuotaExceeded"), (every_address_listed, "AddressesRefused")]


async def stopped(api: Api, trouble: Callable[[Stage], None], reason: str) -> Server:
    """A paid server that cannot be made."""
    trouble(api.stage)
    server = await api.stage.paid(workspace_id=api.workspace_id)

    async def told() -> bool:
        events = await api.stage.others.bus.emitted(ServerStalled)
        return any(event.server_id == server.id and event.stop == reason for event in events)

    await api.stage.play(told)
    return server


def refund_path(api: Api, server: Server) -> str:
    return f"{api.path}/subscriptions/{server.subscription_id}/refund"


async def shown(api: Api, server: Server) -> dict[str, Any]:
    view: dict[str, Any] = (await api.get(f"{api.path}/subscriptions/{server.subscription_id}")).json()
    return view


@pytest.mark.parametrize(("trouble", "reason"), STOPS, ids=[reason for _, reason in STOPS])
async def test_a_stop_is_told_shown_in_job_and_subscription_and_refunded_when_asked(
    api: Api, trouble: Callable[[Stage], None], reason: str
) -> None:
    stage = api.stage
    server = await stopped(api, trouble, reason)
    view = await shown(api, server)
    assert (view["stop"]["reason"], view["stop"]["choices"]) == (reason, ["wait", "refund"])
    job = (await api.get(f"{api.path}/servers/{server.id}/jobs")).json()["items"][0]
    (failed,) = [step for step in job["steps"] if step["state"] == "failed"]
    assert "refunded" in failed["next_action"]
    assert stage.owned()["instance"] == []

    reply = await api.post(refund_path(api, server), None)
    assert (reply.status_code, reply.json()["state"]) == (202, "requested"), reply.text
    await Refunds(stage.database, stage.outside.billing).run()
    await stage.gone(server.id)
    view = await shown(api, server)
    assert (view["refund"]["state"], view["refund"]["amount"], view["stop"]) == ("done", 2900, None)
    assert view["status"] == "ended"
    assert stage.outside.billing.refunded.total() == 1
    assert [event.amount for event in await stage.others.bus.emitted(SubscriptionRefunded)] == [2900]
    assert stage.owned() == {"instance": [], "ip": [], "volume": [], "security_group": []}


async def test_who_waits_is_not_charged_and_is_charged_again_from_ready_on(api: Api) -> None:
    stage = api.stage
    stock = dict(stage.outside.cloud.stock)
    server = await stopped(api, out_of_stock, "OutOfStock")
    holds = Holds(stage.database, stage.outside.billing)
    await holds.run()
    await holds.run()
    async with stage.database.transaction() as session:
        stripe_id = (await session.get_one(Subscription, server.subscription_id)).stripe_subscription_id
    assert stage.outside.billing.held == {stripe_id: True}
    stage.outside.cloud.stock.update(stock)
    await stage.due_now(server.id)
    await stage.ready(server.id)
    await holds.run()
    assert stage.outside.billing.held == {stripe_id: False}
    assert (await shown(api, server))["stop"] is None


async def test_no_refund_once_the_server_was_ready(api: Api) -> None:
    server = await api.stage.paid(workspace_id=api.workspace_id)
    await api.stage.ready(server.id)
    reply = await api.post(refund_path(api, server), None)
    assert (reply.status_code, reply.json()["code"]) == (409, "not_refundable")
    assert (await api.stage.server(server.id)).desired == "present"


@pytest.mark.asvs("2.3.1")
async def test_no_refund_while_the_server_is_being_made(api: Api) -> None:
    server = await api.stage.paid(workspace_id=api.workspace_id)
    reply = await api.post(refund_path(api, server), None)
    assert (reply.status_code, reply.json()["code"]) == (409, "not_refundable")


async def test_twenty_who_ask_at_once_get_one_refund(api: Api) -> None:
    server = await stopped(api, out_of_stock, "OutOfStock")
    replies = await asyncio.gather(*(api.post(refund_path(api, server), None) for _ in range(20)))
    assert {reply.status_code for reply in replies} == {202}
    refunds = Refunds(api.stage.database, api.stage.outside.billing)
    await asyncio.gather(*(refunds.run() for _ in range(5)))
    async with api.stage.database.transaction() as session:
        (refund,) = (await session.scalars(select(Refund))).all()
    assert api.stage.outside.billing.refunded == {refund.id: 1}
    assert len(await api.stage.others.bus.emitted(SubscriptionRefunded)) == 1


async def test_a_refund_that_broke_off_is_finished_under_the_same_key(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await stopped(api, out_of_stock, "OutOfStock")
    await api.post(refund_path(api, server), None)
    billing = api.stage.outside.billing
    asked = billing.refund

    async def lost(subscription_id: str, *, key: str) -> int:
        await asked(subscription_id, key=key)
        raise PaymentError("the answer was lost", retryable=True)

    refunds = Refunds(api.stage.database, billing)
    with monkeypatch.context() as patch:
        patch.setattr(billing, "refund", lost)
        await refunds.run()
    assert (await shown(api, server))["refund"]["state"] == "requested"
    async with api.stage.database.transaction() as session:
        await session.execute(update(Refund).values(next_at=Refund.requested_at))
    await refunds.run()
    assert (await shown(api, server))["refund"]["state"] == "done"
    assert len(billing.refunded) == 1


async def test_another_workspace_s_subscription_is_not_refunded(api: Api) -> None:
    server = await stopped(api, out_of_stock, "OutOfStock")
    from shared.ids import new_id

    other = new_id("ws")
    path = f"/v1/workspaces/{other}/subscriptions/{server.subscription_id}/refund"
    assert (await api.post(path, None, workspace_id=other)).status_code == 404
