"""What every service's `migrations/env.py` runs: `run(Base.metadata)`.

The DSN is the owner role's, without a pooler, from `SC_DATABASE_DIRECT_URL` or the file of that name in
`$SC_SECRETS_DIR`. Two migrators wait for each other by an advisory lock; a migration that would wait longer than
five seconds for a table lock fails instead of stopping the service behind it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from alembic import context
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db.database import tls_arguments

_LOCK_KEY = 0x5C_0DB  # any constant: one migrator per database


def run(metadata: MetaData) -> None:
    """Runs the Alembic command at hand (upgrade, check, revision) against the owner's database."""
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    asyncio.run(_run_online(_owner_url(), metadata))


def _owner_url() -> str:
    url = os.environ.get("SC_DATABASE_DIRECT_URL")
    directory = os.environ.get("SC_SECRETS_DIR")
    if not url and directory and (path := Path(directory, "sc_database_direct_url")).is_file():
        url = path.read_text().strip()
    if not url:
        raise SystemExit("SC_DATABASE_DIRECT_URL is not set: the owner role's DSN (postgresql+asyncpg://…)")
    return url


async def _run_online(url: str, metadata: MetaData) -> None:
    engine = create_async_engine(
        url, poolclass=pool.NullPool, hide_parameters=True, connect_args=tls_arguments(url)
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(text("select pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
            await connection.execute(text("set lock_timeout = '5s'"))
            await connection.commit()
            await connection.run_sync(_migrate, metadata)
            await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True, compare_type=True
    )
    with context.begin_transaction():
        context.run_migrations()
