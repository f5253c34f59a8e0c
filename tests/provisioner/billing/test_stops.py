"""A server that cannot be made: told, not charged, and the customer waits or has the payment back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from services.provisioner.billing.holds import Holds
from services.provisioner.billing.refunds import Refunds
from services.provisioner.models import Address, Refund, Server, Subscription
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


async def hours_pass(stage: Stage, server: Server) -> None:
    """As if the pause after a refusal were over."""
    async with stage.database.transaction() as session:
        earlier = Address.asked_at - timedelta(seconds=stage.settings.refused_pause_seconds)
        await session.execute(update(Address).values(asked_at=earlier))
    await stage.due_now(server.id)


async def addresses(stage: Stage) -> list[Address]:
    async with stage.database.transaction() as session:
        query = select(Address).where(Address.family == 4).order_by(Address.id)
        return list(await session.scalars(query))


async def refused(stage: Stage, count: int) -> bool:
    return [row.state for row in await addresses(stage)].count("burned") == count


async def test_who_waits_gets_a_server_behind_a_fresh_address_without_anybody_s_doing(api: Api) -> None:
    """Four addresses are refused, then comes a clean one; between the tries lie hours, and one mail is enough."""
    stage = api.stage
    taken = list(stage.outside.cloud.offers)
    bad = set(taken[:4])
    server = await stopped(api, lambda stage: setattr(stage.others, "listed", bad), "AddressesRefused")
    await stage.due_now(server.id)
    await stage.engine.work_once()
    assert len(await addresses(stage)) == 3
    await hours_pass(stage, server)
    await stage.play(lambda: refused(stage, 4))
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    assert len(await addresses(stage)) == 4
    await hours_pass(stage, server)
    await stage.ready(server.id)
    assert [(row.address, row.state) for row in await addresses(stage)] == [
        *((one, "burned") for one in taken[:4]), (taken[4], "live")
    ]  # fmt: skip
    told = [event.stop for event in await stage.others.bus.emitted(ServerStalled)]
    assert told == ["AddressesRefused"]
    assert len(stage.owned()["ip"]) == 2


async def test_however_long_somebody_waits_only_so_many_refused_addresses_are_held(api: Api) -> None:
    """The one held longest goes back, after its successor was reserved."""
    stage = api.stage
    stage.settings.addresses_held = 4
    server = await stopped(api, every_address_listed, "AddressesRefused")
    for count in range(4, 8):
        await hours_pass(stage, server)
        await stage.play(lambda count=count: refused(stage, count))  # type: ignore[misc]
        await stage.play(lambda: stage.is_true(server.id, "Stalled"))
        held = [one for one in stage.outside.cloud.living("ip") if one.data["family"] == 4]
        assert len(held) == 4
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert stage.owned()["ip"] == []


async def test_stock_that_comes_back_is_found_without_an_operator(api: Api) -> None:
    stage = api.stage
    stock = dict(stage.outside.cloud.stock)
    server = await stopped(api, out_of_stock, "OutOfStock")
    stage.outside.cloud.stock.update(stock)
    condition = await stage.condition(server.id, "PlaceChosen")
    assert condition is not None
    assert condition.due_at is not None
    assert (condition.due_at - condition.last_transition_at).total_seconds() <= 300
    async with stage.database.transaction() as session:
        row = await session.get_one(Server, server.id)
        assert row.next_at <= condition.due_at + timedelta(seconds=1)
    await stage.due_now(server.id)  # as if those five minutes had passed
    await stage.ready(server.id)
