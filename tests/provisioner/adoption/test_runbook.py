"""Every command of docs/runbooks/restore.md is run, in its order, on a real database and a cloud that has gone on."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.postgres import SUPERUSER, binaries
from services.provisioner import admin
from services.provisioner.billing.comparison import Comparison
from services.provisioner.models import Server
from services.provisioner.reconciler import strangers
from tests.fixtures import run
from tests.fixtures.database import ServiceDatabases
from tests.provisioner.adoption.backup import Backup, listen_anew
from tests.provisioner.adoption.forgetting import held, shown
from tests.provisioner.stage import Stage

RUNBOOK = run.ROOT / "docs/runbooks/restore.md"
ADMIN = ["python", "-m", "services.provisioner.admin"]


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


class Operator:
    """Types what the runbook says."""

    def __init__(self, stage: Stage, backup: Backup) -> None:
        self.stage, self.backup = stage, backup

    async def types(self, line: str) -> list[dict[str, Any]]:
        words = shlex.split(line)
        if words[:3] == ADMIN:
            return await admin.run(admin.parser().parse_args(words[3:]))
        await self.stage.database.dispose()
        await asyncio.to_thread(self._program, words)
        await listen_anew(self.stage)
        return []

    def _program(self, words: list[str]) -> None:
        database = self.backup.database
        cluster = database.postgres.cluster
        environment = {
            "PATH": os.environ["PATH"], "PGHOST": str(cluster.socket_dir), "PGUSER": SUPERUSER,
            "PGPASSWORD": cluster.superuser_password, "SC_DATABASE_DIRECT_URL": database.owner_url,
        }  # fmt: skip
        if words[0] == "pg_restore":
            words = [str(binaries() / "pg_restore"), *words[1:]]
            words[words.index("--dbname=provisioner")] = f"--dbname={database.name}"
            words[-1] = str(self.backup.file)
        else:
            words = [sys.executable, "-m", *words]
        subprocess.run(words, env=environment, cwd=run.ROOT, check=True, capture_output=True)


@pytest.fixture
def operator(
    stage: Stage, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Backup], Operator]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    async def nothing() -> None:
        pass

    def resources(settings: Any, database: Any) -> Any:
        comparison = Comparison(database, stage.outside.billing, stage.ports.clock)
        return SimpleNamespace(ports=stage.ports, comparison=comparison, aclose=nothing)

    monkeypatch.setattr(admin, "worker_resources", resources)
    monkeypatch.setattr(admin, "configure_logging", lambda *_: None)
    return lambda backup: Operator(stage, backup)


async def test_after_every_command_of_it_the_servers_are_in_service_and_nothing_is_unowned(
    stage: Stage,
    service_database: ServiceDatabases,
    operator: Callable[[Backup], Operator],
    tmp_path: Path,
) -> None:
    kept, lost = await stage.paid(), await stage.paid()
    backup = await Backup.take(service_database("provisioner"), tmp_path)
    before: dict[str, Server] = {}
    for one in (kept, lost):
        await stage.ready(one.id)
        before[one.id] = await stage.server(one.id)
    kept_machine, lost_machine = (stage.outside.host.machines[one.id].instance for one in (kept, lost))
    grace = operator(backup)

    async def both(holds: Callable[[Stage, str], Any]) -> bool:
        return all([await holds(stage, one.id) for one in (kept, lost)])

    *lines, stuck, sweep = commands()
    said: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if line.endswith("admin compare"):  # the workers have been started
            await stage.play(lambda: both(held))
        server = lost if "--rebuild" in line else kept
        typed = line.replace("SERVER", server.id).replace("HOSTNAME", before[server.id].hostname)
        said[line] = await grace.types(typed.replace("FINGERPRINT", shown(stage, server.id)))
    held_ones = {row["server_id"] for row in said[stuck] if row["reason"] == "MadeBefore"}
    assert held_ones == {kept.id, lost.id}
    assert len(said[sweep]) == len(said[f"{' '.join(ADMIN)} unowned"]) == 10
    await stage.play(lambda: both(lambda at, key: at.is_true(key, "HeldReleased")))
    assert await grace.types(stuck) == []
    assert await grace.types(sweep) == []
    machines = stage.owned()["instance"]
    assert len(machines) == 2
    assert kept_machine in machines
    assert lost_machine not in machines
    for one in (kept, lost):
        assert (await stage.server(one.id)).hostname == before[one.id].hostname


def test_it_is_the_one_that_a_held_server_names() -> None:
    assert "docs/runbooks/restore.md" in Path(strangers.__file__).read_text()
    assert len(commands()) >= 10
