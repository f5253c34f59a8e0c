"""The dispatcher: several servers at a time, woken or by its own clock, and what it survives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import OperationalError

from services.provisioner.reconciler.engine import Dispatcher
from services.provisioner.reconciler.lease import Lease
from tests.provisioner.stage import Stage, engine_of


@contextlib.asynccontextmanager
async def working(stage: Stage, owner: str = "d") -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(engine_of(stage.database, stage.ports, owner), concurrency=3, poll_seconds=0.05)
    task = asyncio.create_task(dispatcher.run())
    yield dispatcher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def all_ready(stage: Stage, ids: list[str]) -> None:
    async with asyncio.timeout(60):
        while not all([await stage.is_true(one, "HeldReleased") for one in ids]):
            await stage.others.step()
            await asyncio.sleep(0.02)


async def test_several_servers_are_worked_on_at_the_same_time(stage: Stage) -> None:
    ids = [(await stage.paid()).id for _ in range(4)]
    async with working(stage):
        await all_ready(stage, ids)
    assert stage.outside.cloud.calls["create_instance"] == 4


async def test_two_dispatchers_share_the_servers_without_making_one_twice(stage: Stage) -> None:
    ids = [(await stage.paid()).id for _ in range(3)]
    async with working(stage, "a"), working(stage, "b"):
        await all_ready(stage, ids)
    assert stage.outside.cloud.calls["create_instance"] == 3
    assert sum(stage.outside.cloud.powered.values()) == 3


async def test_a_pass_that_breaks_does_not_stop_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.settings.lease_seconds, stage.settings.scaleway_timeout = 0.8, 0.1
    server = await stage.paid()
    async with working(stage) as dispatcher:
        engine = dispatcher._engine
        work_on, broken = engine.work_on, list[str]()

        async def once(lease: Lease) -> float:
            if not broken:
                broken.append(lease.server_id)
                raise OperationalError("select 1", {}, Exception("the database went away"))
            return await work_on(lease)

        monkeypatch.setattr(engine, "work_on", once)
        dispatcher.nudge()
        await all_ready(stage, [server.id])
    assert broken == [server.id]


async def test_stopping_in_the_middle_of_a_call_leaves_the_server_to_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.settings.lease_seconds, stage.settings.scaleway_timeout = 0.8, 0.1
    server = await stage.paid()
    reserve, began = stage.outside.cloud.reserve_ip, asyncio.Event()

    async def slow(*given: object) -> object:
        began.set()
        await asyncio.sleep(30)
        return await reserve(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(stage.outside.cloud, "reserve_ip", slow)
        async with working(stage, "first"):
            await asyncio.wait_for(began.wait(), 10)
    async with working(stage, "second"):
        await all_ready(stage, [server.id])
    assert len(stage.owned()["ip"]) == 2
