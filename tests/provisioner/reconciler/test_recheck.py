"""A server that is well is looked at again now and then: that costs little, and no change is slept through."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, update

from services.provisioner.drift import look_again
from services.provisioner.models import Condition, Server
from services.provisioner.reconciler.postgres import PostgresHeld, PostgresStore
from services.provisioner.steps.observe import Observe
from shared.db.database import Database
from tests.provisioner.stage import Stage, engine_of


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the store was read whole, and how many transactions held the server."""
    seen: Counter[str] = Counter()
    load, hold = PostgresHeld.load, PostgresStore.hold

    async def loading(self: PostgresHeld) -> object:
        seen["load"] += 1
        return await load(self)

    def holding(self: PostgresStore, lease: object) -> object:
        seen["hold"] += 1
        return hold(self, lease)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresHeld, "load", loading)
    monkeypatch.setattr(PostgresStore, "hold", holding)
    return seen


def looks(stage: Stage) -> tuple[int, int, int]:
    outside = stage.outside
    return outside.cloud.calls["get_instance"], outside.host.calls["certificates"], outside.self_test.runs


async def idle(stage: Stage) -> Server:
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.play(lambda: _none_due(stage))
    return await stage.server(server.id)


async def _none_due(stage: Stage) -> bool:
    return await stage.engine.work_once() is None


async def all_looks_due(stage: Stage, server_id: str) -> None:
    async with stage.database.transaction() as session:
        await look_again(session, server_id)


async def test_a_recheck_that_finds_all_well_is_one_reading_three_looks_and_one_write(
    stage: Stage, counted: Counter[str]
) -> None:
    server = await idle(stage)
    before, log = looks(stage), len(await stage.log(server.id))
    await all_looks_due(stage, server.id)
    counted.clear()
    after = await stage.engine.work_once()
    assert counted == {"load": 1, "hold": 2}
    assert looks(stage) == tuple(one + 1 for one in before)
    assert after == pytest.approx(stage.settings.recheck_seconds, abs=60)
    assert len(await stage.log(server.id)) == log
    assert await _none_due(stage)


async def test_a_recheck_of_one_thing_leaves_the_others_their_time(stage: Stage) -> None:
    server = await idle(stage)
    async with stage.database.transaction() as session:
        await session.execute(
            update(Condition)
            .where(Condition.server_id == server.id, Condition.type == "TlsReady")
            .values(due_at=func.now() + timedelta(seconds=100))
        )
        await look_again(session, server.id, Observe.condition)
    assert await stage.engine.work_once() == pytest.approx(100, abs=30)


async def test_what_a_look_finds_changed_is_acted_upon_in_the_same_claim(stage: Stage) -> None:
    """The host has made its next key: the names that tell of it are published at once, not at the next recheck."""
    server = await idle(stage)
    stage.outside.host.machines[server.id].next_key = "d" * 64
    await all_looks_due(stage, server.id)
    await stage.engine.work_once()
    assert (await stage.server(server.id)).names_generation == server.names_generation + 1
    await stage.play(lambda: stage.is_true(server.id, "Ready"))


async def test_a_look_that_fails_among_others_that_do_not_makes_the_server_not_ready(stage: Stage) -> None:
    server = await idle(stage)
    stage.outside.self_test.broken = {"dns.one"}
    await all_looks_due(stage, server.id)
    await stage.engine.work_once()
    assert not await stage.is_true(server.id, "Ready")
    assert await stage.is_true(server.id, "InstanceHealthy")
    stage.outside.self_test.broken = set()
    await stage.play(lambda: stage.is_true(server.id, "Ready"))


async def test_looks_that_are_due_do_not_hold_up_a_new_wish(stage: Stage) -> None:
    server = await idle(stage)
    await stage.wish_for_domains(server.id)
    await all_looks_due(stage, server.id)
    await stage.engine.work_once()
    assert stage.outside.host.calls["apply"] == 1
    await stage.play(lambda: stage.domains_as_wished(server.id))


async def test_a_server_is_made_without_asking_for_what_is_known(stage: Stage) -> None:
    database = Database(stage.settings.database_url.get_secret_value())
    asked: list[str] = []

    def note(*given: Any) -> None:
        asked.append(given[2])

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    stage.engine = engine_of(database, stage.ports)
    server = await stage.paid()
    await stage.ready(server.id)
    await database.dispose()
    claims = [
        one for one in asked if "lease_owner=" in one
    ]  # how many depends on the time that the world takes
    log_readings = [one for one in asked if one.startswith("SELECT step_log")]
    assert len(log_readings) <= len(claims)
    assert len(asked) - len(claims) < 450  # 840 when everything was read again for every step
