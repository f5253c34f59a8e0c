"""A workspace ends when nothing of ours is left for it in any zone."""

from __future__ import annotations

from sqlalchemy import text

from shared.contracts.auth_events import WorkspaceDeleted, WorkspaceDeletionRequested
from shared.contracts.dns_events import WorkspaceEmptied, ZoneRemoved
from shared.ids import new_id
from tests.dns.plans.test_applying import prepared
from tests.dns.samples import server
from tests.dns.stage import Stage


async def test_a_workspace_is_empty_only_after_its_records_are_gone(stage: Stage) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    await stage.bus.deliver(WorkspaceDeletionRequested(workspace_id=wanted.workspace_id))
    await stage.work(3)
    assert await stage.bus.emitted(WorkspaceEmptied) == []
    await stage.want(wanted.model_copy(update={"generation": 2, "withdrawn": True}))
    await stage.work(6)
    assert len(hosted.records) == 2
    assert [item.workspace_id for item in await stage.bus.emitted(WorkspaceEmptied)] == [wanted.workspace_id]
    assert [item.name for item in await stage.bus.emitted(ZoneRemoved)] == ["company.com"]


async def test_a_workspace_without_names_is_empty_at_once_and_says_so_once(stage: Stage) -> None:
    workspace = new_id("ws")
    await stage.bus.deliver(WorkspaceDeletionRequested(workspace_id=workspace))
    await stage.bus.deliver(WorkspaceDeletionRequested(workspace_id=workspace))
    await stage.work(3)
    assert [item.workspace_id for item in await stage.bus.emitted(WorkspaceEmptied)] == [workspace]


async def test_names_that_are_asked_for_late_are_not_published(stage: Stage) -> None:
    wanted = server()
    await stage.bus.deliver(WorkspaceDeletionRequested(workspace_id=wanted.workspace_id))
    await stage.want(wanted)
    await stage.work()
    assert stage.platform.records == {}
    assert (await stage.last(wanted.server_id)).withdrawn


async def test_a_deleted_workspace_leaves_no_rows_but_the_note_of_its_end(stage: Stage) -> None:
    _, _, wanted = await prepared(stage)
    await stage.bus.deliver(WorkspaceDeleted(workspace_id=wanted.workspace_id))
    tables = ("zone", "zone_proof", "nameset", "record_state", "owned_record", "write_intent", "record_plan")
    async with stage.database.transaction() as session:
        for table in tables:
            query = text(f"select count(*) from {table} where workspace_id = :workspace")  # noqa: S608 (fixed names)
            assert await session.scalar(query, {"workspace": wanted.workspace_id}) == 0, table
    await stage.want(wanted.model_copy(update={"generation": 3}))
    await stage.work(2)
    assert (await stage.last(wanted.server_id)).withdrawn


async def test_a_freed_name_can_be_proven_by_another_workspace(stage: Stage) -> None:
    stage.world.zone("company.com", "zone-token")
    first, second = new_id("ws"), new_id("ws")
    await stage.register(first, "company.com")
    await stage.work(1)
    await stage.bus.deliver(WorkspaceDeletionRequested(workspace_id=first))
    await stage.work(1)
    zone_id = await stage.register(second, "company.com")
    await stage.work(1)
    assert (await stage.zone(zone_id)).state == "proven"
