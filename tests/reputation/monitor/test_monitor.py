"""A living server's address: a listing is announced when two rounds agree, and ends the same way."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from services.reputation.checks.service import due_tiers
from services.reputation.models import Check, ListingRow
from shared.contracts.provisioner_events import AddressReleased, AddressReserved, ServerReady
from shared.contracts.reputation_events import AddressCleared, AddressListed
from shared.ids import new_id
from tests.reputation.conftest import World

HOUR, CONFIRM = timedelta(seconds=3601), timedelta(seconds=301)


@pytest.fixture
async def live(world: World, reserved: AddressReserved) -> AddressReserved:
    await world.bus.deliver(reserved)
    await world.bus.deliver(
        ServerReady(
            workspace_id=reserved.workspace_id, server_id=reserved.server_id, hostname="s1.mx.example.test",
            ipv4=reserved.address, ipv6="2001:db8:5c::1", zone="fr-par-1",
        )
    )  # fmt: skip
    await world.monitor.tick()
    return reserved


async def announced(world: World, event: AddressReserved) -> list[list[str]]:
    found = await world.bus.emitted(AddressListed)
    return [
        [item.blacklist for item in each.listings] for each in found if each.address_id == event.address_id
    ]


async def listing(world: World, event: AddressReserved) -> ListingRow:
    async with world.bus.database.transaction() as session:
        statement = select(ListingRow).where(ListingRow.address_id == event.address_id)
        return (await session.scalars(statement)).one()


async def test_a_listing_seen_twice_is_announced_once(world: World, live: AddressReserved) -> None:
    world.list_address("one")
    world.clock.advance(HOUR)
    await world.monitor.tick()
    assert await announced(world, live) == []
    world.clock.advance(CONFIRM)
    await world.monitor.tick()
    assert await announced(world, live) == [["one"]]
    for _ in range(3):
        world.clock.advance(HOUR)
        await world.monitor.tick()
    assert await announced(world, live) == [["one"]]


async def test_a_listing_seen_once_is_not_announced(world: World, live: AddressReserved) -> None:
    world.list_address("one")
    world.clock.advance(HOUR)
    await world.monitor.tick()
    world.clear("one")
    world.clock.advance(CONFIRM)
    await world.monitor.tick()
    assert await announced(world, live) == []
    assert (await listing(world, live)).cleared_at is not None
    told = [item.address_id for item in await world.bus.emitted(AddressCleared)]
    assert live.address_id not in told


async def test_a_listing_ends_after_two_clean_rounds(world: World, live: AddressReserved) -> None:
    world.list_address("one")
    for step in (HOUR, CONFIRM):
        world.clock.advance(step)
        await world.monitor.tick()
    world.clear("one")
    world.clock.advance(HOUR)
    await world.monitor.tick()
    assert (await listing(world, live)).cleared_at is None
    world.clock.advance(CONFIRM)
    await world.monitor.tick()
    assert (await listing(world, live)).cleared_at is not None
    told = [item for item in await world.bus.emitted(AddressCleared) if item.address_id == live.address_id]
    assert [(item.cleared, item.remaining) for item in told] == [(("one",), ())]


async def test_a_list_that_falls_silent_changes_nothing(world: World, live: AddressReserved) -> None:
    world.list_address("one")
    for step in (HOUR, CONFIRM):
        world.clock.advance(step)
        await world.monitor.tick()
    world.silence("one")
    for _ in range(3):
        world.clock.advance(HOUR)
        await world.monitor.tick()
    row = await listing(world, live)
    assert row.cleared_at is None
    assert row.clean_rounds == 0


async def test_a_second_list_is_announced_by_itself(world: World, live: AddressReserved) -> None:
    for name in ("one", "uno"):
        world.list_address(name)
        for step in (HOUR, CONFIRM):
            world.clock.advance(step)
            await world.monitor.tick()
    assert await announced(world, live) == [["one"], ["uno"]]


async def test_a_released_address_is_no_longer_asked_about(world: World, live: AddressReserved) -> None:
    await world.bus.deliver(
        AddressReleased(
            workspace_id=live.workspace_id,
            server_id=live.server_id,
            address_id=live.address_id,
            address=live.address,
        )
    )
    world.dns.queries.clear()
    world.clock.advance(HOUR)
    await world.monitor.tick()
    assert not any("20.100.51.198" in name for name in world.dns.queries)


async def test_a_held_address_that_is_not_in_use_is_not_watched(world: World, live: AddressReserved) -> None:
    held = live.model_copy(update={"address_id": new_id("adr"), "address": "198.51.100.44", "attempt": 2})
    await world.bus.deliver(held)
    world.dns.queries.clear()
    world.clock.advance(HOUR)
    await world.monitor.tick()
    assert not any("44.100.51.198" in name for name in world.dns.queries)


async def test_two_monitors_ask_about_an_address_once(world: World, live: AddressReserved) -> None:
    world.clock.advance(HOUR)
    world.dns.queries.clear()
    await world.monitor.tick()
    await world.monitor.tick()
    assert world.dns.queries.count("20.100.51.198.one.test") == 1


async def test_old_checks_are_forgotten(world: World, live: AddressReserved) -> None:
    world.clock.advance(timedelta(days=31))
    await world.monitor.forget()
    async with world.bus.database.transaction() as session:
        statement = select(Check).where(Check.address_id == live.address_id)
        assert (await session.scalars(statement)).all() == []


@pytest.mark.parametrize(
    ("rounds", "open_tiers", "tiers"),
    [(0, set(), {1, 2, 3}), (1, set(), {1}), (6, set(), {1, 2}), (24, set(), {1, 2, 3}), (1, {3}, {1, 3})],
)
def test_weaker_lists_are_asked_less_often(rounds: int, open_tiers: set[int], tiers: set[int]) -> None:
    assert due_tiers(rounds, frozenset(open_tiers)) == tiers
