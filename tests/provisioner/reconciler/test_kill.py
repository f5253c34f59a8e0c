"""kill -9 at every gap: another worker takes over, and there is one server, nothing unowned, and it is Ready.

Each worker is a process of its own; the outside world lives in the test's process and survives it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from services.provisioner.models import CloudResource
from services.provisioner.reconciler.plan import ABSENT, PRESENT
from services.provisioner.sweeper import Sweeper
from tests.fixtures import run
from tests.provisioner.stage import Stage

# Before and after each of: intent, POST, bind, power on, install start, DNS fact, Ready, delete.
CREATING = (
    "ip.before_intent", "ip.after_intent", "ip.after_post", "ip.after_bind",
    "security_group.after_intent", "security_group.after_post",
    "instance.before_intent", "instance.after_intent", "instance.after_post", "instance.after_bind",
    "power_on.before_action", "power_on.after_action",
    "step.ssh_trust.before", "step.ssh_trust.after:2", "step.ssh_trust.after:3",
    "install.before_start", "install.after_start",
    "names.before_emit", "names.after_emit", "names.before_emit:2", "names.after_emit:2",
    "step.reverse_names.after:2", "step.self_test.after",
    "ready.before", "ready.after", "pass.before_release:3", "pass.after_release:3",
)  # fmt: skip
DELETING = (
    "step.withdraw_names.before", "step.withdraw_names.after", "step.reset_reverse.after", "step.power_off.after",
    "delete.instance.before", "delete.instance.after",
    "delete.volume.before", "delete.volume.after",
    "delete.ip.before", "delete.ip.after", "delete.ip.after:2",
    "delete.security_group.before", "delete.security_group.after",
    "step.end_subscription.after", "step.tombstone.after",
)  # fmt: skip
ONE_OF_EACH = {"instance": 1, "ip": 2, "volume": 1, "security_group": 1}


@dataclass
class Workers:
    """Processes of the reconciler, on one stage."""

    stage: Stage
    directory: Path
    socket: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *, crashpoint: str = "", **fields: object) -> subprocess.Popen[bytes]:
        number = len(self.running)
        values = json.loads(self.stage.settings.model_dump_json(exclude_none=True))
        secrets = ("database_url", "scaleway_secret_key", "stripe_secret_key", "host_key_secret")
        values |= {name: getattr(self.stage.settings, name).get_secret_value() for name in secrets}
        values |= {"outside": str(self.socket), "owner": f"p{number}", "idle_limit_ms": 1500, **fields}
        file = self.directory / f"worker{number}.json"
        file.write_text(json.dumps(values))
        log = (self.directory / f"worker{number}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.provisioner.worker_process", str(file)],
            cwd=run.ROOT,
            env={**os.environ, "SC_CRASHPOINT": crashpoint},
            stdout=log,
            stderr=log,
        )
        log.close()
        self.running.append(process)
        return process

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        """Lets the other services answer until `holds`."""
        async with asyncio.timeout(seconds):
            while not await holds():
                await self.stage.others.step()
                await asyncio.sleep(0.03)

    async def died(self, process: subprocess.Popen[bytes]) -> None:
        async def ended() -> bool:
            return process.poll() is not None

        await self.until(ended)
        assert process.returncode == -signal.SIGKILL, self.log(process)

    def log(self, process: subprocess.Popen[bytes]) -> str:
        return (self.directory / f"worker{self.running.index(process)}.log").read_text()[-3000:]

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
async def workers(stage: Stage, tmp_path: Path) -> AsyncIterator[Workers]:
    stage.settings.lease_seconds = 1.5
    with tempfile.TemporaryDirectory(prefix="sc-kill-") as short:
        socket = Path(short) / "outside.sock"
        server = await stage.outside.serve(socket)
        made = Workers(stage, tmp_path, socket)
        yield made
        made.end()
        server.close()


async def unowned(stage: Stage) -> set[str]:
    """Things at the cloud that no bound row knows."""
    async with stage.database.transaction() as session:
        rows = await session.scalars(select(CloudResource.external_id).where(CloudResource.state == "bound"))
        known = {str(row) for row in rows}
    return {key for keys in stage.owned().values() for key in keys} - known


def counts(stage: Stage) -> dict[str, int]:
    return {kind: len(ids) for kind, ids in stage.owned().items()}


@pytest.mark.parametrize("crashpoint", CREATING)
async def test_killed_while_creating_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    server = await stage.paid()
    await workers.died(workers.start(crashpoint=crashpoint))
    workers.start()
    await workers.until(lambda: stage.is_true(server.id, "HeldReleased"))
    assert counts(stage) == ONE_OF_EACH
    assert await unowned(stage) == set()
    assert sum(stage.outside.cloud.powered.values()) == 1
    assert stage.outside.host.installs_started[server.id] == 1


@pytest.mark.parametrize("crashpoint", DELETING)
async def test_killed_while_deleting_another_worker_finishes(workers: Workers, crashpoint: str) -> None:
    stage = workers.stage
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.cancel(server.id)
    await workers.died(workers.start(crashpoint=crashpoint))
    workers.start()

    async def gone() -> bool:
        return (await stage.server(server.id)).deleted_at is not None

    await workers.until(gone)
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
    sweeper = Sweeper(stage.database, stage.outside.cloud, stage.settings, stage.ports.catalogue)

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
    zombie.send_signal(signal.SIGSTOP)
    held = max(row.fence for row in await stage.log(server.id))
    workers.start()
    await workers.until(lambda: stage.is_true(server.id, "HostApplied"))
    before = {row.id for row in await stage.log(server.id)}
    zombie.send_signal(signal.SIGCONT)
    await asyncio.sleep(1.0)
    # Others go on under newer fences; under the one that the stopped worker held nothing more is written.
    late = [row.fence for row in await stage.log(server.id) if row.id not in before]
    assert [fence for fence in late if fence <= held] == []
    assert counts(stage) == ONE_OF_EACH
    assert sum(stage.outside.cloud.powered.values()) == 1


def test_every_step_has_a_crashpoint_before_and_after() -> None:
    """The engine visits `step.<name>.before` and `.after` for each; the names are unique over both plans."""
    names = [step.name for step in (*PRESENT, *ABSENT)]
    assert len(set(names)) == len(names)
