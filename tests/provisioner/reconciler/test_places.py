"""Out of stock: size after size, zone after zone of the region, and then a stop that says why."""

from __future__ import annotations

from sqlalchemy import select

from services.provisioner.models import Address, CloudResource
from services.provisioner.plans import Catalogue
from services.provisioner.ports import Availability, CloudBusy, CloudOutOfStock
from services.provisioner.settings import PLANS_FILE
from shared.contracts.provisioner_events import AddressReleased, ServerDnsDesired, ServerReady
from tests.provisioner.owned import ONE_OF_EACH, counts
from tests.provisioner.stage import Stage

NONE_LEFT: dict[str, Availability] = {"DEV1-S": "shortage", "PLAY2-PICO": "shortage", "DEV1-M": "shortage"}


def test_the_places_of_a_zone_are_those_that_follow_it_in_its_region() -> None:
    catalogue = Catalogue.load(PLANS_FILE)
    assert [region.country for region in catalogue.regions[:2]] == ["FR", "NL"]
    assert catalogue.places("fr-par-1") == ("fr-par-1", "fr-par-2")
    assert catalogue.places("fr-par-2") == ("fr-par-2",)
    assert catalogue.places("nl-ams-1") == ("nl-ams-1", "nl-ams-2")


async def test_a_zone_without_stock_is_passed_over_before_anything_is_reserved(stage: Stage) -> None:
    stage.outside.cloud.stock_of["fr-par-1"] = NONE_LEFT
    server = await stage.paid()
    await stage.ready(server.id)
    assert (await stage.server(server.id)).zone == "fr-par-2"
    assert {thing.zone for thing in stage.outside.cloud.things.values()} == {"fr-par-2"}
    assert stage.outside.cloud.calls["release_ip"] == 0
    (ready,) = await stage.others.bus.emitted(ServerReady)
    assert ready.zone == "fr-par-2"


async def test_a_zone_that_refuses_every_size_is_left_with_nothing_in_it(stage: Stage) -> None:
    """It says that it has all three, and refuses all three: names, addresses and packet filter go, in that order."""
    gone = CloudOutOfStock("gone")
    stage.outside.cloud.faults.refuse["create_instance"] = [CloudBusy("409"), gone, gone, gone]
    server = await stage.paid()
    await stage.ready(server.id)
    cloud = stage.outside.cloud
    assert cloud.calls["create_instance"] == 5
    assert {thing.zone for thing in cloud.things.values()} == {"fr-par-2"}
    assert counts(stage) == ONE_OF_EACH
    sets = await stage.others.bus.emitted(ServerDnsDesired)
    assert [one.withdrawn for one in sets] == [False, True, False, False]
    async with stage.database.transaction() as session:
        given_back = {
            row.address for row in await session.scalars(select(Address)) if row.state == "released"
        }
        made = (await session.scalars(select(CloudResource).where(CloudResource.kind == "instance"))).all()
    assert {event.address for event in await stage.others.bus.emitted(AddressReleased)} == given_back
    assert given_back == {str(sets[0].ipv4), str(sets[0].ipv6)}
    assert sorted((row.zone, row.state) for row in made) == [("fr-par-1", "gone"), ("fr-par-2", "bound")]


async def test_when_the_region_has_none_it_stops_unbought_and_says_out_of_stock(stage: Stage) -> None:
    for zone in ("fr-par-1", "fr-par-2"):
        stage.outside.cloud.stock_of[zone] = NONE_LEFT
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert (stalled.reason, stalled.evidence["step"]) == ("OutOfStock", "choose_place")
    assert sum(counts(stage).values()) == 0
    stage.outside.cloud.stock_of["fr-par-2"] = {"DEV1-M": "scarce"}
    await stage.due_now(server.id)
    await stage.ready(server.id)
    assert (await stage.server(server.id)).zone == "fr-par-2"


async def test_the_last_zone_that_refuses_is_waited_for(stage: Stage) -> None:
    stage.outside.cloud.faults.refuse["create_instance"] = [CloudOutOfStock("gone")] * 3
    server = await stage.paid(zone="fr-par-2")
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert (stalled.reason, counts(stage)["instance"]) == ("OutOfStock", 0)
    await stage.due_now(server.id)
    await stage.ready(server.id)
    assert (await stage.server(server.id)).zone == "fr-par-2"


async def test_addresses_that_were_refused_in_one_zone_do_not_count_in_the_next(stage: Stage) -> None:
    stage.others.listed = {f"198.51.100.{n}" for n in (16, 17)}
    stage.outside.cloud.faults.refuse["create_instance"] = [CloudOutOfStock("gone")] * 3
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "ZoneLeft"))
    stage.others.listed = set()
    await stage.ready(server.id)
    async with stage.database.transaction() as session:
        rows = (
            await session.scalars(select(Address).where(Address.family == 4).order_by(Address.attempt))
        ).all()
    assert [row.state for row in rows] == ["burned", "burned", "released", "live"]


async def test_a_cancel_overtakes_the_move(stage: Stage) -> None:
    stage.outside.cloud.faults.refuse["create_instance"] = [CloudOutOfStock("gone")] * 3
    stage.settings.passes_per_claim = 1
    server = await stage.paid()

    async def moving() -> bool:
        return (await stage.server(server.id)).moving_to is not None

    await stage.play(moving)
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert sum(counts(stage).values()) == 0
