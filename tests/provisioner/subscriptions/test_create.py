"""Buying: what is refused, and what is told to the payment provider."""

from __future__ import annotations

import pytest

from shared.ids import new_id
from tests.provisioner.api import Api


async def test_the_checkout_is_opened_with_the_plan_s_price(api: Api) -> None:
    reply = await api.post(f"{api.path}/subscriptions", {"plan": "starter", "zone": "nl-ams-1"})
    body = reply.json()
    assert body["status"] == "pending"
    assert body["checkout_url"].startswith("https://pay.test/")
    (session,) = api.stage.outside.billing.sessions
    assert session == {
        "subscription_id": body["id"],
        "workspace_id": api.workspace_id,
        "price_id": "price_starter",
        "customer_id": None,
    }
    assert body["price"] == {"amount_cents": 2900, "currency": "eur"}


async def test_the_same_idempotency_key_opens_one_checkout(api: Api) -> None:
    body = {"plan": "starter", "zone": "fr-par-1"}
    headers = {**api.headers(), "Idempotency-Key": "once"}
    path = f"{api.path}/subscriptions"
    first = await api.client.post(path, json=body, headers=headers)
    again = await api.client.post(path, json=body, headers=headers)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(api.stage.outside.billing.sessions) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"plan": "nothing", "zone": "fr-par-1"}, "unknown_plan"),
        ({"plan": "starter", "zone": "us-east-1"}, "unknown_zone"),
        ({"plan": "starter"}, "invalid"),
        ({"plan": "starter", "zone": "fr-par-1", "price": 0}, "invalid"),
    ],
)
async def test_what_is_not_offered_is_refused_with_the_field(
    api: Api, body: dict[str, str], code: str
) -> None:
    reply = await api.post(f"{api.path}/subscriptions", body)
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert reply.json()["errors"]
    assert api.stage.outside.billing.sessions == []


async def test_without_the_payment_provider_the_answer_says_try_again(api: Api) -> None:
    api.stage.outside.billing.away = 1
    reply = await api.post(f"{api.path}/subscriptions", {"plan": "starter", "zone": "fr-par-1"})
    assert (reply.status_code, reply.json()["code"]) == (503, "payment_unavailable")
    assert (await api.get(f"{api.path}/subscriptions")).json()["items"] == []


async def test_regions_show_zones_and_prices(api: Api) -> None:
    body = (await api.get("/v1/regions")).json()
    zones = {zone["id"] for region in body["items"] for zone in region["zones"]}
    assert {"fr-par-1", "nl-ams-1"} <= zones
    assert {plan["id"]: plan["price"]["amount_cents"] for plan in body["plans"]}["starter"] == 2900


async def test_another_workspace_s_subscription_is_not_found(api: Api) -> None:
    made = (await api.post(f"{api.path}/subscriptions", {"plan": "starter", "zone": "fr-par-1"})).json()["id"]
    other = new_id("ws")
    reply = await api.get(f"/v1/workspaces/{other}/subscriptions/{made}", workspace_id=other)
    unknown = await api.get(f"/v1/workspaces/{other}/subscriptions/{new_id('sub')}", workspace_id=other)
    assert reply.status_code == 404
    assert reply.content == unknown.content
