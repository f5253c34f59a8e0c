"""kill -9 at every gap: another worker takes over, and there is one server, nothing unowned, and it is Ready.

Each worker is a process of its own; the outside world lives in the test's process and survives it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from multiprocessing.process import BaseProcess

import pytest

from services.provisioner.ports import InstanceRequest
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from tests.provisioner.owned import ONE_OF_EACH, counts, one_server_and_nothing_else
from tests.provisioner.reconciler.crashpoints import (
    CREATING,
    CREATING_STEPS,
    DELETING,
    DELETING_STEPS,
    HELD,
    LOST_ANSWERS,
    SERVING,
    SERVING_STEPS,
    SWEEPING,
)
from tests.provisioner.workers import Workers

# The first visit is not always the most telling one.
LATER_VISITS = (
    "step.ssh_trust.after:2", "step.ssh_trust.after:3", "names.before_emit:2", "names.after_emit:2",
    "step.reverse_names.after:2", "pass.before_release:3", "pass.after_release:3",
)  # fmt: skip


@pytest.mark.parametrize("crashpoint", [*CREATING, *LATER_VISITS])
async def test_killed_while_creating_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    server = await stage.paid()
    await workers.taken_over(crashpoint, lambda: stage.is_true(server.id, "HeldReleased"))
    await one_server_and_nothing_else(stage, server.id)


@pytest.mark.parametrize("crashpoint", LOST_ANSWERS)
async def test_killed_when_an_answer_was_lost_another_worker_finds_what_was_made(
    workers: Workers, crashpoint: str
) -> None:
    stage = workers.stage
    stage.outside.cloud.faults.lost[crashpoint.partition(".")[0]] = 1
    server = await stage.paid()
    await workers.taken_over(crashpoint, lambda: stage.is_true(server.id, "HeldReleased"))
    await one_server_and_nothing_else(stage, server.id)


@pytest.mark.parametrize("crashpoint", HELD)
async def test_killed_while_a_refused_address_is_given_back_another_worker_finishes(
    workers: Workers, crashpoint: str
) -> None:
    stage = workers.stage
    stage.others.listed = {"198.51.100.16"}
    server = await stage.paid()
    await workers.taken_over(crashpoint, lambda: stage.is_true(server.id, "HeldReleased"))
    await one_server_and_nothing_else(stage, server.id)


@pytest.mark.parametrize("crashpoint", SERVING)
async def test_killed_while_domains_change_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.wish_for_domains(server.id)
    await workers.taken_over(crashpoint, lambda: stage.domains_as_wished(server.id))
    await one_server_and_nothing_else(stage, server.id)


@pytest.mark.parametrize("crashpoint", [*DELETING, "delete.ip.after:2"])
async def test_killed_while_deleting_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.cancel(server.id)
    await workers.taken_over(crashpoint, lambda: stage.is_gone(server.id))
    assert counts(stage) == dict.fromkeys(ONE_OF_EACH, 0)


@pytest.mark.parametrize("crashpoint", SWEEPING)
async def test_killed_while_sweeping_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    cloud, tags = stage.outside.cloud, ("sendchief", "sc-env:test", "sc-srv:srv_0", "sc-res:res_0")
    request = InstanceRequest(
        name="x", commercial_type="DEV1-S", image="i", ip_ids=(), security_group_id="none"
    )
    await cloud.create_instance("fr-par-1", request, tags)

    async def clean() -> bool:
        return counts(stage) == dict.fromkeys(ONE_OF_EACH, 0)

    await workers.taken_over(crashpoint, clean, sweeps=True, quiet_window_seconds=0)


async def test_a_life_in_which_workers_die_at_every_gap(workers: Workers) -> None:
    """Each worker dies at the first gap at which none has died before, and the next one takes over: from the payment
    to Ready, through a change of domains, to the end."""
    stage = workers.stage
    deaths = workers.directory / "deaths"
    deaths.touch()
    server = await stage.paid()

    async def until(holds: Callable[[], Awaitable[bool]], expected: tuple[str, ...]) -> None:
        while not await holds():
            worker = workers.start(deaths=str(deaths))

            async def over(worker: BaseProcess = worker) -> bool:
                return worker.exitcode is not None or await holds()

            await workers.until(over)
        workers.end()
        # Whether a worker gives the server back before it dies elsewhere is chance.
        assert set(expected) - set(deaths.read_text().split()) <= {
            "pass.before_release",
            "pass.after_release",
        }

    async def in_service() -> bool:
        return all([await stage.is_true(server.id, kind) for kind in ("HostApplied", "HeldReleased")])

    await until(in_service, (*CREATING, *CREATING_STEPS))
    await one_server_and_nothing_else(stage, server.id)
    await stage.wish_for_domains(server.id)
    await until(lambda: stage.domains_as_wished(server.id), (*SERVING, *SERVING_STEPS))
    await one_server_and_nothing_else(stage, server.id)
    await stage.cancel(server.id)
    await until(lambda: stage.is_gone(server.id), (*DELETING, *DELETING_STEPS))
    assert counts(stage) == dict.fromkeys(ONE_OF_EACH, 0)


async def test_killed_after_a_lost_answer_the_sweeper_leaves_one_server(workers: Workers) -> None:
    """The worst of both: the cloud says nothing, accepts late, and the worker dies."""
    stage = workers.stage
    faults = stage.outside.cloud.faults
    faults.lost["instance"], faults.late = 1, 2.0
    server = await stage.paid()
    await workers.died(workers.start(crashpoint="step.create_instance.after"))
    workers.start()
    await workers.until(lambda: stage.is_true(server.id, "HeldReleased"))
    sweeper = Sweeper(
        PostgresFindings(stage.database), stage.outside.cloud, stage.settings, stage.ports.catalogue
    )

    async def clean() -> bool:
        await sweeper.run()
        return not stage.outside.cloud.pending and counts(stage) == ONE_OF_EACH

    await workers.until(clean)
    assert sum(stage.outside.cloud.powered.values()) == 1


async def test_many_workers_on_one_server_make_one(workers: Workers) -> None:
    stage = workers.stage
    server = await stage.paid()
    for _ in range(3):
        workers.start()
    await workers.until(lambda: stage.is_true(server.id, "HeldReleased"))
    assert counts(stage) == ONE_OF_EACH
    assert stage.outside.cloud.calls["create_instance"] == 1
    assert sum(stage.outside.cloud.powered.values()) == 1


async def test_a_worker_stopped_past_its_lease_changes_nothing_when_it_wakes(workers: Workers) -> None:
    stage = workers.stage
    stage.outside.cloud.faults.boot_seconds = 1.0
    server = await stage.paid()
    zombie = workers.start()

    async def working() -> bool:
        return await stage.is_true(server.id, "InstanceCreated")

    await workers.until(working)
    workers.signal(zombie, signal.SIGSTOP)
    held = max(row.fence for row in await stage.log(server.id))
    workers.start()
    await workers.until(lambda: stage.is_true(server.id, "HostApplied"))
    before = {row.id for row in await stage.log(server.id)}
    workers.signal(zombie, signal.SIGCONT)
    await asyncio.sleep(1.0)
    # Others go on under newer fences; under the one that the stopped worker held nothing more is written.
    late = [row.fence for row in await stage.log(server.id) if row.id not in before]
    assert [fence for fence in late if fence <= held] == []
    assert counts(stage) == ONE_OF_EACH
    assert sum(stage.outside.cloud.powered.values()) == 1
