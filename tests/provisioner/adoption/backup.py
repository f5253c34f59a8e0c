"""A backup of the provisioner's database and its restore, by PostgreSQL's own programs, while the world has gone on."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from infra.local.postgres import SUPERUSER, binaries
from shared.db.kit_tables import outbox
from tests.fixtures.database import ServiceDatabase
from tests.provisioner.stage import Stage
from tests.provisioner.unread import Unread


@dataclass(frozen=True)
class Backup:
    database: ServiceDatabase
    file: Path

    @classmethod
    async def take(cls, database: ServiceDatabase, directory: Path) -> Backup:
        made = cls(database, directory / "provisioner.dump")
        await made._run("pg_dump", "-Fc", f"--file={made.file}", database.name)
        return made

    async def restore(self, stage: Stage) -> None:
        """What was written since is forgotten; the cloud, the hosts and the other services are where they are."""
        await stage.database.dispose()
        database = f"--dbname={self.database.name}"
        await self._run(
            "pg_restore", "--clean", "--if-exists", "--single-transaction", database, str(self.file)
        )
        await listen_anew(stage)

    async def _run(self, program: str, *arguments: str) -> None:
        cluster = self.database.postgres.cluster
        argv = [str(binaries() / program), "-h", str(cluster.socket_dir), "-U", SUPERUSER, *arguments]
        environment = {"PGPASSWORD": cluster.superuser_password, "PATH": os.environ["PATH"]}
        await asyncio.to_thread(
            subprocess.run, argv, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=None
        )


async def listen_anew(stage: Stage) -> None:
    """The others have heard what was emitted so far; from here on they listen to the restored database."""
    async with stage.database.transaction() as session:
        last = int(await session.scalar(select(func.coalesce(func.max(outbox.c.seq), 0))) or 0)
    stage.others.unread = Unread(stage.database, last)
