"""The migration command: two at a time, no DSN, and a lock that it will not wait for."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from shared.bus.relay import asyncpg_arguments
from tests.fixtures import run
from tests.fixtures.database import Postgres, drop_database, make_database, migrate, migrated_services

SERVICE = "reputation"


@pytest.mark.skipif(SERVICE not in migrated_services(), reason="needs a migrated service")
def test_two_migrators_at_the_same_time_are_one_migration(postgres: Postgres) -> None:
    database = make_database(postgres, SERVICE)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: migrate(SERVICE, database.owner_url), range(2)))
        assert postgres.psql("select version_num from alembic_version", database.name).strip()
    finally:
        drop_database(database)


def test_without_a_dsn_it_says_which_variable_is_missing() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SC_DATABASE")}
    result = subprocess.run(
        [sys.executable, "-m", "alembic", "-n", SERVICE, "upgrade", "head"],
        cwd=run.ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode != 0
    assert "SC_DATABASE_DIRECT_URL" in result.stderr


async def test_a_migration_does_not_stand_in_line_for_a_lock(postgres: Postgres) -> None:
    database = make_database(postgres, SERVICE)
    owner = await asyncpg.connect(**asyncpg_arguments(database.owner_url))
    try:
        await owner.execute("create table alembic_version (version_num varchar(32) primary key)")
        transaction = owner.transaction()
        await transaction.start()
        await owner.execute("lock table alembic_version in access exclusive mode")
        with pytest.raises(RuntimeError, match="lock timeout"):
            await asyncio.to_thread(migrate, SERVICE, database.owner_url)
        await transaction.rollback()
    finally:
        await owner.close()
        drop_database(database)
