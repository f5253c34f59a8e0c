"""Fewer lives, on PostgreSQL: the seeds are those of `test_walk.py`. `SC_WALK_POSTGRES_SEEDS` is how many; each takes
a few seconds."""

from __future__ import annotations

import os

from tests.fixtures.database import ServiceDatabases
from tests.provisioner.conftest import TABLES
from tests.provisioner.simulation.postgres_books import CLOCK, walk_on_postgres

SEEDS = int(os.environ.get("SC_WALK_POSTGRES_SEEDS", "50"))


def test_whatever_happens_on_postgresql_there_is_one_running_server_or_none(
    service_database: ServiceDatabases,
) -> None:
    database = service_database("provisioner")
    database.postgres.psql(CLOCK.format(name=database.name), database.name)
    for seed in range(SEEDS):
        database.empty(TABLES)
        walk_on_postgres(seed, database)
