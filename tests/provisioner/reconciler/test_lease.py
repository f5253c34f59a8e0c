"""Lease and fence: one worker at a time, and a worker that lost its lease writes nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError

from services.provisioner.models import Address, CloudResource, Condition, Server, StepLog
from services.provisioner.reconciler import lease as leases
from services.provisioner.reconciler.lease import Lease, LostLease, wake
from services.provisioner.reconciler.postgres import PostgresHeld, PostgresStore
from services.provisioner.reconciler.work import Work
from shared.contracts.reputation_events import AddressChecked
from tests.provisioner.stage import Stage, engine_of


async def claimed(stage: Stage, seconds: float = 5.0) -> Lease:
    async with stage.database.transaction() as session:
        lease = await leases.claim(session, "w", seconds)
    assert lease is not None
    return lease


async def work_of(stage: Stage, lease: Lease) -> Work:
    async with stage.database.transaction() as session:
        known = await PostgresHeld(session, await leases.hold(session, lease), lease).load()
    return Work(PostgresStore(stage.database), lease, known, stage.ports)


async def run_out(stage: Stage) -> None:
    async with stage.database.transaction() as session:
        await session.execute(update(Server).values(lease_until=func.now() - timedelta(seconds=1)))


async def test_a_claimed_server_is_nobody_else_s(stage: Stage) -> None:
    await stage.paid()
    await claimed(stage)
    async with stage.database.transaction() as session:
        assert await leases.claim(session, "other", 5.0) is None


async def test_concurrent_claims_share_out_the_servers(stage: Stage) -> None:
    made = {(await stage.paid()).id for _ in range(6)}

    async def take() -> str | None:
        async with stage.database.transaction() as session:
            lease = await leases.claim(session, "w", 5.0)
            await asyncio.sleep(0.05)
            return lease.server_id if lease else None

    taken = await asyncio.gather(*(take() for _ in range(8)))
    assert sorted(one for one in taken if one) == sorted(made)


async def test_a_lease_that_ran_out_is_taken_over_under_a_higher_fence(stage: Stage) -> None:
    await stage.paid()
    first = await claimed(stage)
    await run_out(stage)
    second = await claimed(stage)
    assert second.fence == first.fence + 1


async def test_after_a_takeover_the_first_worker_can_write_nothing(stage: Stage) -> None:
    server = await stage.paid()
    first = await claimed(stage)
    work = await work_of(stage, first)
    await run_out(stage)
    await claimed(stage)
    with pytest.raises(LostLease):
        async with work.write() as write:
            write.log("install", "ok")
    with pytest.raises(LostLease):
        await work.need_lease(10)
    with pytest.raises(LostLease):
        await leases.renew(stage.database, first)
    async with stage.database.transaction() as session:
        await leases.release(session, first, 0)
    assert await stage.log(server.id) == []
    assert (await stage.server(server.id)).lease_owner == "w"


async def test_a_lease_that_ran_out_refuses_writes_even_without_a_takeover(stage: Stage) -> None:
    await stage.paid()
    work = await work_of(stage, await claimed(stage))
    await run_out(stage)
    with pytest.raises(LostLease):
        async with work.write():
            pass


async def test_a_pass_whose_lease_is_lost_ends_without_a_word(stage: Stage) -> None:
    server = await stage.paid()
    lease = await claimed(stage)
    await run_out(stage)
    await claimed(stage)
    await stage.engine.work_on(lease)
    async with stage.database.transaction() as session:
        for table in (CloudResource, Condition, StepLog):
            assert await session.scalar(select(func.count()).select_from(table)) == 0
    assert stage.outside.cloud.calls.total() == 0
    assert (await stage.server(server.id)).fence == lease.fence + 1


async def test_a_lease_lost_in_the_middle_of_a_call_cancels_the_pass(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.settings.lease_seconds, stage.settings.scaleway_timeout = 0.3, 0.1
    engine = engine_of(stage.database, stage.ports)
    await stage.paid()
    began = asyncio.Event()

    async def slow(*_: object) -> None:
        began.set()
        await asyncio.sleep(30)

    monkeypatch.setattr(stage.outside.cloud, "reserve_ip", slow)
    lease = await engine.claim()
    assert lease is not None
    working = asyncio.create_task(engine.work_on(lease))
    await began.wait()
    async with stage.database.transaction() as session:
        await session.execute(update(Server).values(fence=Server.fence + 1))
    assert await asyncio.wait_for(working, 5) == 0.3


async def test_a_long_call_keeps_its_lease(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.settings.lease_seconds, stage.settings.scaleway_timeout = 0.6, 0.1
    engine = engine_of(stage.database, stage.ports)
    server = await stage.paid()
    reserve = stage.outside.cloud.reserve_ip

    async def slow(*given: object) -> object:
        await asyncio.sleep(1.5)
        return await reserve(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.outside.cloud, "reserve_ip", slow)
    stage.settings.passes_per_claim = 1
    assert await engine.work_once() == 0
    assert (await stage.server(server.id)).fence == 1


async def test_a_wake_during_a_pass_is_not_slept_through(stage: Stage) -> None:
    server = await stage.paid()
    lease = await claimed(stage)
    async with stage.database.transaction() as session:
        await wake(session, server.id)
    async with stage.database.transaction() as session:
        await leases.hold(session, lease)
        await leases.release(session, lease, 3600)
    again = await claimed(stage)
    assert again.woken


async def test_without_a_wake_the_server_rests_as_long_as_was_said(stage: Stage) -> None:
    await stage.paid()
    lease = await claimed(stage)
    async with stage.database.transaction() as session:
        await leases.hold(session, lease)
        await leases.release(session, lease, 3600)
    async with stage.database.transaction() as session:
        assert await leases.claim(session, "w", 5.0) is None


async def test_a_worker_paused_inside_a_transaction_does_not_keep_the_row(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "IDLE_LIMIT_MS", 300)
    await stage.paid()
    work = await work_of(stage, await claimed(stage, 0.4))

    async def pause() -> None:
        async with work.write() as write:
            await asyncio.sleep(2.0)
            write.log("install", "ok")
            await write.session.flush()

    paused = asyncio.create_task(pause())
    async with asyncio.timeout(10):
        while True:
            async with stage.database.transaction() as session:
                lease = await leases.claim(session, "other", 5.0)
            if lease is not None:
                break
            await asyncio.sleep(0.05)
    assert not paused.done()
    with pytest.raises(DBAPIError):
        await paused
    assert await stage.log(lease.server_id) == []


async def test_a_verdict_waits_for_the_write_that_is_under_way_and_neither_is_lost(stage: Stage) -> None:
    """Both lock the server before its address."""
    server = await stage.paid()
    await stage.ready(server.id)
    async with stage.database.transaction() as session:
        lease = await leases.claim(session, "w", 5.0, server.id)
        address = (await session.scalars(select(Address).where(Address.server_id == server.id))).first()
    assert lease is not None
    assert address is not None
    verdict = AddressChecked(
        workspace_id=server.workspace_id, server_id=server.id, address_id=address.id, address=address.address,
        verdict="listed", unknown=("one.test",),
    )  # fmt: skip
    async with stage.database.transaction() as session:
        await leases.hold(session, lease)
        told = asyncio.create_task(
            stage.others.bus.deliver(verdict, aggregate_version=address.checked_version + 1)
        )
        async with asyncio.timeout(30):
            while not await waits_for_a_lock(stage):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await session.execute(update(Address).where(Address.id == address.id).values(verdict="clean"))
    await told
    async with stage.database.transaction() as session:
        assert (await session.get_one(Address, address.id)).verdict == "listed"


async def waits_for_a_lock(stage: Stage) -> bool:
    waiting = text(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    async with stage.database.transaction() as session:
        return bool(await session.scalar(waiting))
