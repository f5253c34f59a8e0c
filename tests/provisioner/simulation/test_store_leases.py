"""Leases, wakes and rests: the same for the store in PostgreSQL and for the one in memory."""

from __future__ import annotations

import asyncio

import pytest

from services.provisioner.reconciler.lease import LostLease
from tests.provisioner.simulation.ground import Ground, claimed, known


async def test_a_claimed_server_is_nobody_else_s(ground: Ground) -> None:
    server_id = await ground.buy()
    lease = await claimed(ground)
    assert (lease.server_id, lease.fence) == (server_id, 1)
    assert await ground.store.claim("other", 30.0) is None


async def test_a_released_server_rests_as_long_as_was_said(ground: Ground) -> None:
    await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        await held.release(3600)
    assert await ground.store.claim("w", 30.0) is None


async def test_a_server_that_was_released_for_no_time_is_due_at_once_and_not_woken(ground: Ground) -> None:
    await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        await held.release(0)
    again = await claimed(ground)
    assert (again.fence, again.woken) == (2, False)


async def test_a_wake_during_a_pass_is_not_slept_through(ground: Ground) -> None:
    server_id = await ground.buy()
    lease = await claimed(ground)
    await ground.wake(server_id)
    async with ground.store.hold(lease) as held:
        await held.release(3600)
    assert (await claimed(ground)).woken


async def test_a_wake_between_passes_is_told_to_the_next(ground: Ground) -> None:
    server_id = await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        await held.release(3600)
    await ground.wake(server_id)
    assert (await claimed(ground)).woken


async def test_a_lease_that_ran_out_is_taken_over_and_the_first_worker_is_out(ground: Ground) -> None:
    await ground.buy()
    first = await claimed(ground)
    await ground.run_out()
    second = await claimed(ground, "other")
    assert second.fence == first.fence + 1
    with pytest.raises(LostLease):
        await known(ground, first)
    with pytest.raises(LostLease):
        await ground.store.renew(first)
    await known(ground, second)


async def test_a_lease_that_ran_out_holds_nothing_even_without_a_takeover(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    await ground.run_out()
    with pytest.raises(LostLease):
        await known(ground, lease)
    with pytest.raises(LostLease):
        await ground.store.renew(lease)


async def test_a_renewed_lease_lasts_from_then_on(ground: Ground) -> None:
    server_id = await ground.buy()
    lease = await claimed(ground)
    before = (await ground.server(server_id)).lease_until
    await asyncio.sleep(0.01)
    await ground.store.renew(lease)
    after = (await ground.server(server_id)).lease_until
    assert before is not None
    assert after is not None
    assert after > before
    assert 29 < lease.remaining() <= 30


async def test_a_deleted_server_is_never_claimed_again(ground: Ground) -> None:
    server_id = await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        held.server.deleted_at = held.server.created_at
        await held.announce_if_empty()
        await held.session.flush()
        await held.release(0)
    await ground.wake(server_id)
    assert await ground.store.claim("w", 30.0) is None
