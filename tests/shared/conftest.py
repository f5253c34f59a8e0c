"""A database that has the kit's tables and one business table, owned by the service `dns`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db import kit_tables, rls
from shared.db.database import Database
from tests.fixtures.database import Postgres, ServiceDatabase, drop_database, make_database

SERVICE = "dns"


def _create(connection: Connection) -> None:
    op = Operations(MigrationContext.configure(connection))
    kit_tables.create(op, SERVICE)
    op.execute("create table note (id text primary key, workspace_id text not null, text text not null)")
    rls.protect(op, "note", service=SERVICE)
    op.execute("create table diary (id text primary key, workspace_id text, account_id text)")
    rls.protect(op, "diary", service=SERVICE, account_column="account_id")
    op.execute("create table effect (event_id text not null, number int not null)")
    rls.protect(op, "effect", service=SERVICE, workspace_column=None)


async def _migrate(url: str) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(_create)
    await engine.dispose()


@pytest.fixture(scope="module")
def kit_database(postgres: Postgres) -> Iterator[ServiceDatabase]:
    database = make_database(postgres, SERVICE)
    with asyncio.Runner() as runner:
        runner.run(_migrate(database.owner_url))
    yield database
    drop_database(database)


@pytest.fixture
async def app(kit_database: ServiceDatabase) -> AsyncIterator[Database]:
    """The kit's database as the app role sees it."""
    database = Database(kit_database.app_url)
    yield database
    await database.dispose()


@pytest.fixture
async def worker(kit_database: ServiceDatabase) -> AsyncIterator[Database]:
    """The kit's database as the worker role sees it."""
    database = Database(kit_database.worker_url)
    yield database
    await database.dispose()
