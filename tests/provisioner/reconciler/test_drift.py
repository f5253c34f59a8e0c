"""What somebody does at the cloud behind our back. A server that was ever Ready is never made anew."""

from __future__ import annotations

from services.provisioner.ports import CloudNotFound
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
