"""What somebody does at the cloud behind our back. A server that was ever Ready is never made anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete, select

from services.provisioner import drift
from services.provisioner.models import CloudResource, Condition, Server, SweepFinding
from services.provisioner.ports import CloudNotFound
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from tests.fixtures.database import ServiceDatabases
from tests.provisioner.conftest import TABLES
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


async def swept(stage: Stage, times: int, *, dry_run: bool = False) -> list[SweepFinding]:
    """Several sweeps, as if the quiet window and the quarantine had passed between them."""
    stage.settings.quiet_window_seconds = stage.settings.sweep_quarantine_seconds = 0
    found: list[SweepFinding] = []
    for _ in range(times):
        found = await Sweeper(
            PostgresFindings(stage.database), stage.outside.cloud, stage.settings, stage.ports.catalogue
        ).run(dry_run=dry_run)
    return found


def left_behind(stage: Stage, *, in_use: bool) -> str:
    """A disk of a living server that is not in its books: what an older machine of it had, say."""
    (own,) = stage.outside.cloud.living("volume")
    disk = replace(own, id="volume-old", data={"in_use": in_use})
    disk.tags = tuple("sc-res:res_0" if tag.startswith("sc-res:") else tag for tag in own.tags)
    stage.outside.cloud.things[disk.id] = disk
    return disk.id


async def test_a_disk_left_behind_by_a_living_server_is_swept_and_its_own_is_not(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    own = stage.owned()
    disk = left_behind(stage, in_use=False)
    (found,) = await swept(stage, 1)
    assert (found.kind, found.external_id, found.state) == ("volume", disk, "seen")
    await swept(stage, 3)
    assert stage.owned() == own
    await stage.due_now(server.id)
    await stage.play(lambda: stage.is_true(server.id, "Ready"))
    assert stage.outside.cloud.powered.total() == 1


async def test_a_strange_disk_that_is_in_use_is_shown_and_stays(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    disk = left_behind(stage, in_use=True)
    (found,) = await swept(stage, 5)
    assert (found.external_id, found.state) == (disk, "quarantined")
    assert disk in stage.owned()["volume"]
    assert await stage.is_true(server.id, "Ready")


async def test_after_a_restore_that_has_forgotten_a_server_a_dry_run_shows_all_of_it_and_touches_nothing(
    stage: Stage, service_database: ServiceDatabases
) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    own, powered = stage.owned(), dict(stage.outside.cloud.powered)
    database = service_database("provisioner")
    database.empty(TABLES)
    found = await swept(stage, 6, dry_run=True)
    assert sorted((row.kind, row.external_id) for row in found) == sorted(
        (kind, key) for kind, keys in own.items() for key in keys
    )
    assert {row.state for row in found} == {"seen"}
    assert all(f"sc-srv:{server.id}" in row.tags for row in found)
    assert stage.owned() == own
    assert stage.outside.cloud.powered == powered
    assert [one.data["state"] for one in stage.outside.cloud.living("instance")] == ["running"]


async def test_after_a_restore_from_before_the_answers_came_what_was_made_is_adopted_by_its_tag(
    stage: Stage,
) -> None:
    """The backup has the intents and no ids: nothing is made twice, and a sweep in earnest deletes nothing."""
    server = await stage.paid()
    await stage.ready(server.id)
    own, cloud = stage.owned(), stage.outside.cloud
    made = cloud.calls["create_instance"], cloud.calls["reserve_ip"], cloud.calls["create_security_group"]
    async with stage.database.transaction() as session:
        for instance in await session.scalars(
            select(CloudResource).where(CloudResource.kind.in_(("instance", "volume")))
        ):
            if instance.kind == "volume":
                await session.delete(instance)
            else:
                instance.state, instance.external_id, instance.bound_at = "intent", None, None
        await session.execute(
            delete(Condition).where(
                Condition.server_id == server.id,
                Condition.type.not_in(
                    (
                        "PlaceChosen",
                        "AddressesReserved",
                        "ReputationClean",
                        "SecurityGroupReady",
                        "NamesAnnounced",
                    )
                ),
            )
        )
        row = await session.get_one(Server, server.id)
        row.ever_ready, row.ready_at, row.install_run_id = False, None, None
        row.host_key_own, row.host_key = True, stage.outside.host.machines[server.id].shown_key
    found = await swept(stage, 4)
    assert [one for one in found if one.kind != "volume"] == []
    await stage.due_now(server.id)
    await stage.ready(server.id)
    assert stage.owned() == own
    assert made == (
        cloud.calls["create_instance"], cloud.calls["reserve_ip"], cloud.calls["create_security_group"]
    )  # fmt: skip
    assert cloud.powered.total() == 1
    assert await swept(stage, 2) == []
