"""What can be bought where, with stock, prices and capacity as the worker read them from the cloud."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import update

from services.provisioner.models import CloudLimit, ZoneOffer
from services.provisioner.ports import CloudUnavailable
from services.provisioner.regions.observer import Offers
from services.provisioner.regions.service import STALE_AFTER
from tests.provisioner.api import Api


def observer(api: Api) -> Offers:
    return Offers(api.stage.database, api.stage.outside.cloud, api.stage.ports.catalogue)


async def regions(api: Api) -> dict[str, Any]:
    reply = await api.get("/v1/regions")
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def offer(api: Api, zone: str, plan: str = "starter") -> dict[str, Any]:
    zones = {one["id"]: one for region in (await regions(api))["items"] for one in region["zones"]}
    found: dict[str, Any] = next(one for one in zones[zone]["offers"] if one["plan"] == plan)
    return found


async def test_france_comes_first_and_the_netherlands_second(api: Api) -> None:
    body = await regions(api)
    assert [region["country"] for region in body["items"]] == ["FR", "NL"]
    assert {plan["price"]["interval"] for plan in body["plans"]} == {"month"}


async def test_before_anybody_has_looked_nothing_is_claimed(api: Api) -> None:
    found = await offer(api, "fr-par-1")
    assert (found["availability"], found["seen_at"], found["stale"]) == ("unknown", None, True)
    assert (await regions(api))["capacity"] == {"servers_left": None, "seen_at": None, "stale": True}


async def test_stock_price_and_size_are_those_that_the_cloud_tells(api: Api) -> None:
    cloud = api.stage.outside.cloud
    cloud.stock_of["fr-par-1"] = {"DEV1-S": "shortage", "PLAY2-PICO": "scarce"}
    cloud.stock_of["fr-par-2"] = {"DEV1-S": "shortage"}
    await observer(api).run()
    first, second = await offer(api, "fr-par-1"), await offer(api, "fr-par-2")
    assert (first["availability"], first["machine"], first["stale"]) == ("scarce", "PLAY2-PICO", False)
    assert first["machine_price"] == {"amount_cents": 655, "currency": "eur", "interval": "month"}
    assert (first["vcpus"], first["memory_bytes"]) == (2, 2 * 1024**3)
    assert (second["availability"], second["machine"], second["machine_price"]) == (
        "out_of_stock",
        None,
        None,
    )


async def test_a_type_that_is_offered_no_more_disappears(api: Api) -> None:
    await observer(api).run()
    assert (await offer(api, "nl-ams-1"))["machine"] == "DEV1-S"
    api.stage.outside.cloud.stock_of["nl-ams-1"] = {"PLAY2-PICO": "available"}
    await observer(api).run()
    assert (await offer(api, "nl-ams-1"))["machine"] == "PLAY2-PICO"


async def test_capacity_is_what_the_tightest_quota_leaves(api: Api) -> None:
    api.stage.outside.cloud.quotas = {"servers": 50, "addresses": 7}
    await observer(api).run()
    assert (await regions(api))["capacity"]["servers_left"] == 3
    await api.ready_server()
    await observer(api).run()
    assert (await regions(api))["capacity"]["servers_left"] == 2
    api.stage.outside.cloud.quotas = {"servers": None, "addresses": None}
    await observer(api).run()
    assert (await regions(api))["capacity"]["servers_left"] is None


async def test_what_cannot_be_read_stays_with_its_age_and_is_called_stale(api: Api) -> None:
    await observer(api).run()
    old = 2 * STALE_AFTER + timedelta(seconds=1)
    async with api.stage.database.transaction() as session:
        await session.execute(update(ZoneOffer).values(seen_at=ZoneOffer.seen_at - old))
        await session.execute(update(CloudLimit).values(seen_at=CloudLimit.seen_at - old))
    faults = api.stage.outside.cloud.faults
    faults.refuse["machine_types"] = [CloudUnavailable("503")] * 4
    await observer(api).run()
    found = await offer(api, "fr-par-1")
    assert (found["availability"], found["stale"]) == ("available", True)
    assert (await regions(api))["capacity"]["stale"] is True
    await observer(api).run()
    assert (await offer(api, "fr-par-1"))["stale"] is False


async def test_a_zone_that_is_silent_leaves_the_sums_as_they_were(api: Api) -> None:
    await api.ready_server()
    await observer(api).run()
    before = (await regions(api))["capacity"]
    api.stage.outside.cloud.faults.refuse["limits"] = [CloudUnavailable("503")]
    await observer(api).run()
    assert (await regions(api))["capacity"] == before
