"""What somebody does at the cloud behind our back. A server that was ever Ready is never made anew."""

from __future__ import annotations

import pytest

from services.provisioner import drift
from services.provisioner.ports import CloudNotFound
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from tests.provisioner.stage import Stage


async def test_a_server_that_was_switched_off_is_switched_on_again(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    (instance,) = stage.outside.cloud.living("instance")
    instance.data["state"] = "stopped"
    await stage.due_now(server.id)

    async def running() -> bool:
        return bool(stage.outside.cloud._instance(instance).state == "running")

    await stage.play(running)
    assert stage.outside.cloud.powered[instance.id] == 2


async def test_a_server_that_was_deleted_is_reported_and_not_rebuilt(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    (instance,) = stage.outside.cloud.living("instance")
    del stage.outside.cloud.things[instance.id]

    async def missing() -> bool:
        await stage.due_now(server.id)
        found = await stage.condition(server.id, "InstanceHealthy")
        return found is not None and found.reason == "InstanceMissing"

    await stage.play(missing)
    assert not await stage.is_true(server.id, "Ready")
    for _ in range(20):
        await stage.due_now(server.id)
        await stage.engine.work_once()
    assert stage.outside.cloud.calls["create_instance"] == 1


async def test_a_404_for_a_living_server_changes_nothing(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    stage.outside.cloud.faults.refuse["get_instance"] = [CloudNotFound("404")]
    await stage.due_now(server.id)

    async def failing() -> bool:
        found = await stage.condition(server.id, "InstanceHealthy")
        return found is not None and found.failures == 1

    await stage.play(failing)
    await stage.due_now(server.id)
    await stage.play(lambda: stage.is_true(server.id, "Ready"))
    assert stage.outside.cloud.calls["create_instance"] == 1


async def test_a_lost_address_is_reported(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    (instance,) = stage.outside.cloud.living("instance")
    instance.data["ip_ids"] = instance.data["ip_ids"][:1]
    await stage.due_now(server.id)
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert stalled.reason == "AddressLost"
    assert not await stage.is_true(server.id, "Ready")


async def sweep(stage: Stage) -> None:
    await Sweeper(
        PostgresFindings(stage.database), stage.outside.cloud, stage.settings, stage.ports.catalogue
    ).run(dry_run=True)


async def test_the_sweepers_list_shows_a_server_that_was_switched_off_long_before_its_next_recheck(
    stage: Stage,
) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    (instance,) = stage.outside.cloud.living("instance")
    instance.data["state"] = "stopped"
    assert await stage.engine.work_once() is None
    await sweep(stage)

    async def running() -> bool:
        return bool(stage.outside.cloud._instance(instance).state == "running")

    await stage.play(running)


async def test_a_list_that_lacks_a_living_server_makes_it_looked_at_and_changes_nothing(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    (instance,) = stage.outside.cloud.living("instance")
    instance.visible_at = float("inf")
    looks = stage.outside.cloud.calls["get_instance"]
    await sweep(stage)

    async def looked() -> bool:
        return bool(stage.outside.cloud.calls["get_instance"] > looks)

    await stage.play(looked)
    assert await stage.is_true(server.id, "Ready")
    assert stage.outside.cloud.powered[instance.id] == 1


async def test_servers_that_are_as_they_should_be_are_left_alone_by_a_sweep(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    await sweep(stage)
    assert await stage.engine.work_once() is None


async def test_a_list_that_shows_nothing_sends_only_a_few_servers_to_look(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "MOST_AT_ONCE", 1)
    for _ in range(2):
        await stage.ready((await stage.paid()).id)
    for thing in stage.outside.cloud.living("instance"):
        thing.visible_at = float("inf")
    await sweep(stage)
    assert await stage.engine.work_once() is not None
    assert await stage.engine.work_once() is None
