"""The sweeper deletes what nobody owns, slowly and in small numbers, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from services.provisioner.models import SweepFinding
from services.provisioner.ports import CloudUnavailable, InstanceRequest
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from tests.provisioner.stage import Stage

TAGS = ("sendchief", "sc-env:test", "sc-srv:srv_0", "sc-res:res_0", "sc-att:1")


def sweeper_of(stage: Stage) -> Sweeper:
    return Sweeper(
        PostgresFindings(stage.database), stage.outside.cloud, stage.settings, stage.ports.catalogue
    )


async def orphan(stage: Stage, tags: tuple[str, ...] = TAGS) -> str:
    return (await stage.outside.cloud.reserve_ip("fr-par-1", 4, tags)).id


async def sweep(stage: Stage, times: int, **options: bool) -> list[SweepFinding]:
    """Several runs, with the quiet window and the quarantine shortened to nothing."""
    stage.settings.quiet_window_seconds = 0
    stage.settings.sweep_quarantine_seconds = 0
    found: list[SweepFinding] = []
    for _ in range(times):
        found = await sweeper_of(stage).run(**options)
    return found


async def test_one_sighting_is_not_enough(stage: Stage) -> None:
    await orphan(stage)
    (found,) = await sweep(stage, 1)
    assert (found.state, found.seen) == ("seen", 1)
    assert len(stage.owned()["ip"]) == 1


async def test_seen_again_it_is_quarantined_and_then_deleted(stage: Stage) -> None:
    await orphan(stage)
    await sweep(stage, 3)
    assert stage.owned()["ip"] == []


async def test_a_dry_run_deletes_nothing(stage: Stage) -> None:
    await orphan(stage)
    (found,) = await sweep(stage, 5, dry_run=True)
    assert (found.state, found.seen) == ("seen", 5)
    assert len(stage.owned()["ip"]) == 1


async def test_a_run_deletes_no_more_than_the_cap(stage: Stage) -> None:
    for _ in range(8):
        await orphan(stage)
    await sweep(stage, 2)
    assert len(stage.owned()["ip"]) == 8 - stage.settings.sweep_cap


@pytest.mark.parametrize("tags", [(), ("sc-env:production",), ("owner:somebody",)])
async def test_what_is_not_tagged_as_ours_is_not_touched(stage: Stage, tags: tuple[str, ...]) -> None:
    await orphan(stage, tags)
    assert await sweep(stage, 4) == []
    assert len(stage.owned()["ip"]) == 1


async def test_a_server_s_own_things_are_not_touched(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    before = stage.owned()
    assert await sweep(stage, 4) == []
    assert stage.owned() == before


async def test_what_an_unanswered_create_may_have_made_is_not_touched(stage: Stage) -> None:
    stage.outside.cloud.faults.lost["ip"] = 1
    await stage.paid()
    await stage.engine.work_once()
    assert await sweep(stage, 4) == []
    assert len(stage.owned()["ip"]) == 1


async def test_a_running_orphan_is_switched_off_and_deleted_with_its_disk(stage: Stage) -> None:
    cloud = stage.outside.cloud
    group = await cloud.create_security_group("fr-par-1", "g", TAGS)
    request = InstanceRequest(
        name="x", commercial_type="DEV1-S", image="i", ip_ids=(), security_group_id=group.id
    )
    made = await cloud.create_instance("fr-par-1", request, TAGS)
    await cloud.power_on("fr-par-1", made.id)
    for _ in range(8):
        await sweep(stage, 1)
        await asyncio.sleep(0.03)
    assert stage.owned() == {"instance": [], "ip": [], "volume": [], "security_group": []}


async def test_a_zone_that_does_not_answer_does_not_stop_the_others(stage: Stage) -> None:
    await orphan(stage)
    await stage.outside.cloud.reserve_ip("nl-ams-1", 4, TAGS)
    await sweep(stage, 1)
    stage.outside.cloud.faults.refuse["list_instances"] = [CloudUnavailable("503")]
    found = {row.zone: row.seen for row in await sweep(stage, 1, dry_run=True)}
    assert found == {"fr-par-1": 1, "nl-ams-1": 2}


async def test_what_finds_an_owner_is_cleared(stage: Stage) -> None:
    key = await orphan(stage)
    await sweep(stage, 1)
    del stage.outside.cloud.things[key]
    assert await sweep(stage, 1) == []
