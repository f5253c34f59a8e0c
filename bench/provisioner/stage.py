"""What both parts of the bench play on: a database with its statements counted, a broker, a world, workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.auth.bindings import BINDINGS as AUTH
from services.dns.bindings import BINDINGS as DNS
from services.provisioner.bindings import BINDINGS
from services.reputation.bindings import BINDINGS as REPUTATION
from tests.fixtures import run
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import Postgres, ServiceDatabase, make_database, migrate
from tests.fixtures.identity import Trust
from tests.provisioner.stage import Stage

_TICKS = os.sysconf("SC_CLK_TCK")
_SECRETS = ("database_url", "scaleway_secret_key", "stripe_secret_key", "host_key_secret", "amqp_url")
OTHERS = "bench_others"
"""The role with which the bench itself works in the workers' database: what it asks is not counted as theirs."""
# Begin, commit and rollback frame queries; they are not counted as some.
_COUNTED = """from pg_stat_statements s join pg_database d on d.oid = s.dbid
where d.datname = '{name}' and userid = 'provisioner_worker'::regrole and query !~* '^(begin|commit|rollback)'"""
_STATEMENTS = f"select coalesce(sum(calls), 0)::bigint {_COUNTED}"
_BY_TEXT = f"""select calls, regexp_replace(left(query, 110), '\\s+', ' ', 'g') {_COUNTED}
order by calls desc limit {{most}}"""


def counted(postgres: Postgres) -> None:
    """Makes the cluster count statements; it is started anew for that."""
    postgres.psql("alter system set shared_preload_libraries = 'pg_stat_statements'")
    postgres.cluster.stop()
    postgres.cluster.start()
    postgres.psql("create extension pg_stat_statements")
    postgres.psql(
        f"create role {OTHERS} login in role provisioner_worker password '{postgres.role_password}'"
    )


@dataclass
class Workers:
    """Processes of `bench.provisioner.worker`."""

    directory: Path
    database_url: str = field(repr=False)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def start(self, stage: Stage, outside: Path, count: int) -> None:
        for number in range(count):
            self._start(stage, outside, number)
        for number in range(count):
            await self._answers(number)

    def _start(self, stage: Stage, outside: Path, number: int) -> None:
        values = json.loads(stage.settings.model_dump_json(exclude_none=True))
        values |= {name: getattr(stage.settings, name).get_secret_value() for name in _SECRETS}
        values |= {"outside": str(outside), "owner": f"w{number}", "socket": str(self._socket(number))}
        values["database_url"] = self.database_url
        file = self.directory / f"worker{number}.json"
        file.touch(0o600)
        file.write_text(json.dumps({**values, "log_level": "WARNING"}))
        command = [sys.executable, "-m", "bench.provisioner.worker", str(file)]
        with (self.directory / f"worker{number}.log").open("wb") as log:
            self.running.append(subprocess.Popen(command, cwd=run.ROOT, stdout=log, stderr=log))

    def _socket(self, number: int) -> Path:
        return self.directory / f"worker{number}.sock"

    async def _get(self, number: int, path: str) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket(number)))
        async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
            return await client.get(path)

    async def _answers(self, number: int) -> None:
        async with asyncio.timeout(300):
            while True:
                self.check()
                with contextlib.suppress(httpx.HTTPError):
                    if (await self._get(number, "/readyz")).is_success:
                        return
                await asyncio.sleep(0.1)

    def check(self) -> None:
        """Raises RuntimeError when a worker has ended."""
        for number, process in enumerate(self.running):
            if process.poll() is not None:
                log = self.directory / f"worker{number}.log"
                raise RuntimeError(f"worker {number} ended: {log.read_text()[-2000:]}")

    async def counted(self, name: str) -> float:
        """A counter's sum over all labels and workers."""
        total = 0.0
        for number in range(len(self.running)):
            families = text_string_to_metric_families((await self._get(number, "/metrics")).text)
            total += sum(
                sample.value for family in families for sample in family.samples if sample.name == name
            )
        return total

    def cpu_seconds(self) -> float:
        """User and system time of all workers so far."""
        total = 0
        for process in self.running:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def stop(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:  # what was measured is measured
                process.kill()
                process.wait()
        self.running.clear()


@dataclass
class Bench:
    database: ServiceDatabase
    stage: Stage
    workers: Workers

    def statements(self) -> int:
        return int(self.database.postgres.psql(_STATEMENTS.format(name=self.database.name)))

    def commonest(self, most: int = 12) -> list[str]:
        return self.database.postgres.psql(_BY_TEXT.format(name=self.database.name, most=most)).splitlines()

    def forget_statements(self) -> None:
        self.database.postgres.psql("select pg_stat_statements_reset()", self.database.name)

    @contextlib.asynccontextmanager
    async def others(self) -> AsyncIterator[None]:
        """The other services answer what is emitted. Raises what keeps them from it, and when a worker has ended."""

        async def answer() -> None:
            while True:
                await self.stage.others.step()
                await asyncio.sleep(0.02)

        async def watch() -> None:
            while True:
                self.workers.check()
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer()), group.create_task(watch())]
            yield
            for task in tasks:
                task.cancel()


@contextlib.asynccontextmanager
async def bench(
    directory: Path, postgres: Postgres, rabbit: Rabbit, trust: Trust, workers: int, **fields: object
) -> AsyncIterator[Bench]:
    """A database and a world of their own, and `workers` processes between them. `directory` is an empty folder."""
    await rabbit.declare((*BINDINGS, *AUTH, *DNS, *REPUTATION))
    database = make_database(postgres, "provisioner")
    migrate("provisioner", database.owner_url)
    postgres.psql("create extension if not exists pg_stat_statements", database.name)
    ours = replace(database, worker_url=postgres.url(database.name, OTHERS))
    stage = Stage.build(trust, ours, amqp_url=rabbit.url("provisioner"), **fields)
    stage.outside.cloud.offers = [f"198.18.{n >> 8}.{n & 255}" for n in range(1, 65_000)]
    socket = directory / "outside.sock"
    server = await stage.outside.serve(socket)
    one = Bench(database, stage, Workers(directory, database.worker_url))
    try:
        await one.workers.start(stage, socket, workers)
        yield one
    finally:
        one.workers.stop()
        server.close()
        await stage.database.dispose()
