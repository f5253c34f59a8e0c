"""Written down, asked for, bound: what happens when a purchase breaks off in between, or comes many times at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update

from services.provisioner.models import Subscription
from services.provisioner.ports import CheckoutSession, PaymentError
from services.provisioner.subscriptions import service
from shared.contracts.auth_events import WorkspaceDeletionRequested
from shared.db.kit_tables import idempotency_key
from shared.ids import new_id
from tests.provisioner.api import Api

PEOPLE: dict[str, dict[str, str]] = {}
BODY = {"plan": "starter", "zone": "fr-par-1"}


async def rows(api: Api) -> int:
    async with api.stage.database.transaction() as session:
        query = select(func.count()).select_from(Subscription)
        return int(await session.scalar(query) or 0)


async def buy(api: Api, key: str, body: dict[str, str] = BODY) -> Any:
    """As the same person each time: keys belong to one."""
    if api.workspace_id not in PEOPLE:
        PEOPLE[api.workspace_id] = api.headers()
    headers = {**PEOPLE[api.workspace_id], "Idempotency-Key": key}
    return await api.client.post(f"{api.path}/subscriptions", json=body, headers=headers)


class Watching:
    """A payment provider that sees how many connections to the database we hold while it is asked."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.held: list[int] = []

    async def create_checkout(self, **request: Any) -> CheckoutSession:
        self.held.append(self.api.app.state.database.engine.pool.checkedout())
        return await self.api.stage.outside.billing.create_checkout(**request)


async def test_no_connection_is_held_while_the_payment_provider_is_asked(api: Api, monkeypatch: Any) -> None:
    watching = Watching(api)
    resources = api.app.state.resources
    monkeypatch.setattr(
        api.app.state, "resources", type(resources)(**{**vars(resources), "checkout": watching})
    )
    assert (await buy(api, "k")).status_code == 201
    assert watching.held == [0]


async def test_a_purchase_that_broke_off_goes_on_under_the_same_key(api: Api) -> None:
    billing = api.stage.outside.billing
    billing.away = 1
    assert (await buy(api, "once")).status_code == 503
    assert await rows(api) == 1
    reply = await buy(api, "once")
    assert reply.status_code == 201
    assert await rows(api) == 1
    assert billing.sessions[0]["subscription_id"] == reply.json()["id"]


async def test_an_answer_that_was_lost_before_it_was_bound_is_asked_for_again_by_our_own_id(
    api: Api, monkeypatch: Any
) -> None:
    billing = api.stage.outside.billing
    asked = billing.create_checkout

    async def lost(**request: Any) -> CheckoutSession:
        await asked(**request)
        raise PaymentError("the connection broke", retryable=True)

    monkeypatch.setattr(billing, "create_checkout", lost)
    assert (await buy(api, "lost")).status_code == 503
    monkeypatch.setattr(billing, "create_checkout", asked)
    assert (await buy(api, "lost")).status_code == 201
    assert len({session["subscription_id"] for session in billing.sessions}) == 1


async def test_what_was_intended_but_not_bound_is_not_shown(api: Api) -> None:
    api.stage.outside.billing.away = 1
    await buy(api, "k")
    assert (await api.get(f"{api.path}/subscriptions")).json()["items"] == []
    async with api.stage.database.transaction() as session:
        intended = await session.scalar(select(Subscription.id))
    assert (await api.get(f"{api.path}/subscriptions/{intended}")).status_code == 404


async def test_twenty_requests_with_one_key_buy_once(api: Api) -> None:
    replies = await asyncio.gather(*(buy(api, "race") for _ in range(20)))
    assert {reply.status_code for reply in replies} <= {201, 409}
    again = await buy(api, "race")
    assert again.status_code == 201
    assert {reply.json()["id"] for reply in replies if reply.status_code == 201} <= {again.json()["id"]}
    assert await rows(api) == 1
    assert {one["subscription_id"] for one in api.stage.outside.billing.sessions} == {again.json()["id"]}


async def test_the_same_key_for_another_plan_is_refused_and_asks_nobody(api: Api) -> None:
    api.stage.outside.billing.away = 1
    await buy(api, "k")
    other = await buy(api, "k", {**BODY, "plan": "business"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert api.stage.outside.billing.sessions == []


async def test_a_workspace_that_began_to_leave_meanwhile_gets_no_payment_page(
    api: Api, monkeypatch: Any
) -> None:
    billing = api.stage.outside.billing
    asked = billing.create_checkout

    async def leaving(**request: Any) -> CheckoutSession:
        await api.stage.others.bus.deliver(WorkspaceDeletionRequested(workspace_id=api.workspace_id))
        return await asked(**request)

    monkeypatch.setattr(billing, "create_checkout", leaving)
    reply = await buy(api, "k")
    assert (reply.status_code, reply.json()["code"]) == (409, "workspace_ending")


async def test_a_price_that_changes_between_two_tries_does_not_change_what_was_intended(api: Api) -> None:
    api.stage.outside.billing.away = 1
    await buy(api, "k")
    async with api.stage.database.transaction() as session:
        stored = (await session.execute(select(idempotency_key))).one()
    assert stored.status_code == 102
    assert stored.response["price_id"] == "price_starter"
    async with api.stage.database.transaction() as session:
        await session.execute(
            update(idempotency_key).values(response={**stored.response, "price_id": "price_before"})
        )
    assert (await buy(api, "k")).status_code == 201
    assert api.stage.outside.billing.sessions[0]["price_id"] == "price_before"


async def test_another_workspace_with_the_same_key_cannot_take_up_a_purchase(api: Api) -> None:
    api.stage.outside.billing.away = 1
    await buy(api, "k")
    other = new_id("ws")
    reply = await api.post(f"/v1/workspaces/{other}/subscriptions", BODY, key="k", workspace_id=other)
    assert reply.status_code == 201
    assert await rows(api) == 2


async def test_a_purchase_that_broke_off_for_good_is_forgotten_and_no_other(api: Api) -> None:
    api.stage.outside.billing.away = 1
    await buy(api, "broken")
    kept = (await buy(api, "whole")).json()["id"]
    assert await service.forget_intents(api.stage.database) == 0
    async with api.stage.database.transaction() as session:
        old = func.now() - timedelta(days=3)
        await session.execute(update(Subscription).values(created_at=old))
    assert await service.forget_intents(api.stage.database) == 1
    assert [row["id"] for row in (await api.get(f"{api.path}/subscriptions")).json()["items"]] == [kept]
