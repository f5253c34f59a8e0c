"""Nothing is sold where there is known to be no room."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from services.provisioner.models import CloudLimit, Subscription, ZoneOffer
from services.provisioner.ports import Availability
from services.provisioner.regions.observer import Offers
from services.provisioner.regions.service import STALE_AFTER
from shared.ids import new_id
from tests.provisioner.api import Api

FULL: dict[str, Availability] = {"DEV1-S": "shortage", "PLAY2-PICO": "shortage"}


async def look(api: Api) -> None:
    await Offers(api.stage.database, api.stage.outside.cloud, api.stage.ports.catalogue).run()


async def buy(api: Api, zone: str = "fr-par-1", **headers: str) -> httpx.Response:
    """`headers` are those of an earlier try by the same person."""
    said = headers or one_try(api)
    return await api.client.post(
        f"{api.path}/subscriptions", json={"plan": "starter", "zone": zone}, headers=said
    )


def one_try(api: Api) -> dict[str, str]:
    return {**api.headers(), "Idempotency-Key": new_id("req")}


async def refused(api: Api, zone: str = "fr-par-1") -> dict[str, Any]:
    """The problem. Nothing was written down, nobody was asked."""
    reply = await buy(api, zone)
    assert (reply.status_code, reply.json()["code"]) == (409, "no_room")
    async with api.stage.database.transaction() as session:
        bought = (
            select(func.count())
            .select_from(Subscription)
            .where(Subscription.workspace_id == api.workspace_id)
        )
        assert await session.scalar(bought) == 0
    assert api.stage.outside.billing.sessions == []
    problem: dict[str, Any] = reply.json()
    return problem


async def test_a_region_that_is_full_sells_nothing_and_says_where_there_is_room(api: Api) -> None:
    api.stage.outside.cloud.stock_of = {"fr-par-1": FULL, "fr-par-2": FULL}
    await look(api)
    problem = await refused(api)
    assert problem["detail"] == "There is no room for the plan starter in fr-par-1 or fr-par-2."
    assert problem["next_action"].startswith("Take nl-ams-1 or nl-ams-2. ")
    assert problem["errors"][0]["field"] == "body.zone"
    assert (await buy(api, "nl-ams-1")).status_code == 201


async def test_a_zone_is_sold_while_another_of_its_region_can_stand_in_for_it(api: Api) -> None:
    api.stage.outside.cloud.stock_of = {"fr-par-1": FULL}
    await look(api)
    assert (await buy(api)).status_code == 201


async def test_a_full_zone_that_nothing_stands_in_for_is_not_sold(api: Api) -> None:
    """The next zone in the region's order is taken, never one before."""
    api.stage.outside.cloud.stock_of = {"fr-par-2": FULL}
    await look(api)
    assert "fr-par-1" in (await refused(api, "fr-par-2"))["next_action"]


async def test_when_our_limits_leave_no_server_nothing_is_sold_anywhere(api: Api) -> None:
    api.stage.outside.cloud.quotas = {"servers": 50, "addresses": 1}
    await look(api)
    assert (await api.get("/v1/regions")).json()["capacity"]["servers_left"] == 0
    assert "GET /v1/regions" in (await refused(api, "nl-ams-1"))["next_action"]


@pytest.mark.parametrize("table", [ZoneOffer, CloudLimit])
async def test_what_was_not_seen_lately_is_no_reason_to_refuse(api: Api, table: Any) -> None:
    cloud = api.stage.outside.cloud
    if table is ZoneOffer:
        cloud.stock_of = {"fr-par-1": FULL, "fr-par-2": FULL}
    else:
        cloud.quotas = {"servers": 0, "addresses": 0}
    await look(api)
    await refused(api)
    async with api.stage.database.transaction() as session:
        await session.execute(update(table).values(seen_at=func.now() - STALE_AFTER - timedelta(minutes=1)))
    assert (await buy(api)).status_code == 201


async def test_a_purchase_that_broke_off_goes_on_although_the_zone_is_full_by_now(api: Api) -> None:
    api.stage.outside.billing.away, tried = 1, one_try(api)
    assert (await buy(api, **tried)).status_code == 503
    api.stage.outside.cloud.stock_of = {"fr-par-1": FULL, "fr-par-2": FULL}
    await look(api)
    assert (await buy(api, **tried)).status_code == 201


async def test_a_refused_key_can_be_used_again_once_there_is_room(api: Api) -> None:
    api.stage.outside.cloud.stock_of = {"fr-par-1": FULL, "fr-par-2": FULL}
    await look(api)
    tried = one_try(api)
    assert (await buy(api, **tried)).status_code == 409
    api.stage.outside.cloud.stock_of = {}
    await look(api)
    assert (await buy(api, **tried)).status_code == 201
