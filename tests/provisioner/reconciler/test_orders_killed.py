"""kill -9 at every gap of a reboot, a rescue, a rebuild and a move to another zone: another worker goes on, and what
was ordered happens once."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from services.provisioner.models import Server
from services.provisioner.ports import CloudOutOfStock
from services.provisioner.reconciler.lease import wake
from tests.provisioner.owned import ONE_OF_EACH, counts, unowned
from tests.provisioner.reconciler.crashpoints import MOVING, REBOOTING, REBUILDING, RESCUING
from tests.provisioner.stage import Stage
from tests.provisioner.workers import Workers

# What a rebuild and a move do by the steps of others.
WHILE_REBUILDING = ("delete.instance.after", "instance.after_post", "webmail_key.after_set")
WHILE_MOVING = ("delete.ip.after",)


async def order(stage: Stage, server_id: str, **wish: object) -> None:
    async with stage.database.transaction() as session:
        await session.execute(
            update(Server).where(Server.id == server_id).values(generation=Server.generation + 1, **wish)
        )
        await wake(session, server_id)


async def carried_out(stage: Stage, server_id: str) -> bool:
    server = await stage.server(server_id)
    return (
        server.boots_done == server.boots
        and server.incarnation_cleared == server.incarnation
        and server.observed_generation == server.generation
        and await stage.is_true(server_id, "Ready")
    )


@pytest.mark.parametrize("crashpoint", REBOOTING)
async def test_killed_while_rebooting_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    server = await stage.paid()
    await stage.ready(server.id)
    await order(stage, server.id, boots=1)
    await workers.taken_over(crashpoint, lambda: carried_out(stage, server.id))
    assert sum(stage.outside.cloud.powered.values()) == 2
    assert counts(stage) == ONE_OF_EACH


@pytest.mark.parametrize("crashpoint", RESCUING)
async def test_killed_on_the_way_to_the_rescue_system_another_worker_arrives(
    workers: Workers, crashpoint: str
) -> None:
    stage = workers.stage
    server = await stage.paid()
    await stage.ready(server.id)
    await order(stage, server.id, boots=1, boot_type="rescue")
    await workers.taken_over(crashpoint, lambda: stage.is_true(server.id, "Booted"))
    (machine,) = stage.outside.cloud.living("instance")
    assert (machine.data["boot_type"], stage.outside.cloud.powered[machine.id]) == ("rescue", 2)
    assert not await stage.is_true(server.id, "Ready")


@pytest.mark.parametrize("crashpoint", [*REBUILDING, *WHILE_REBUILDING])
async def test_killed_while_rebuilding_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    server = await stage.paid()
    await stage.ready(server.id)
    before = {thing.id for thing in stage.outside.cloud.living("instance")}
    await order(stage, server.id, incarnation=2)
    await workers.taken_over(crashpoint, lambda: carried_out(stage, server.id))
    (machine,) = stage.outside.cloud.living("instance")
    assert machine.id not in before
    assert stage.outside.cloud.powered[machine.id] == 1
    assert counts(stage) == ONE_OF_EACH
    assert await unowned(stage) == set()
    assert stage.outside.cloud.calls["create_instance"] == 2


@pytest.mark.parametrize("crashpoint", [*MOVING, *WHILE_MOVING])
async def test_killed_while_moving_to_another_zone_another_worker_finishes(
    workers: Workers, crashpoint: str
) -> None:
    stage, cloud = workers.stage, workers.stage.outside.cloud
    cloud.faults.refuse["create_instance"] = [CloudOutOfStock("gone")] * 3
    server = await stage.paid()
    await workers.taken_over(crashpoint, lambda: stage.is_true(server.id, "HeldReleased"))
    assert (await stage.server(server.id)).zone == "fr-par-2"
    assert {thing.zone for thing in cloud.things.values()} == {"fr-par-2"}
    assert counts(stage) == ONE_OF_EACH
    assert await unowned(stage) == set()
