"""Engine, transactions and the row-level-security context of a process.

A transaction that works for somebody begins by setting `app.workspace_id` and `app.account_id` for its own length
(`set_config(…, true)`), so the context dies with it, also behind a transaction pooler. No context means no rows.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from pydantic_core import to_json
from sqlalchemy import make_url, text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from shared.db import liveness
from shared.settings import ServiceSettings

Pooler = Literal["none", "transaction"]

_SET_CONTEXT = text(
    "select set_config('app.workspace_id', :workspace_id, true), set_config('app.account_id', :account_id, true)"
)


def connect_arguments(pooler: Pooler) -> dict[str, Any]:
    """asyncpg arguments. A transaction pooler may hand each statement to another server session, so prepared
    statements must not outlive their use and must not share names."""
    if pooler == "none":
        return {}
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"sc_{uuid.uuid4().hex}",
    }


def tls_arguments(url: str) -> dict[str, Any]:
    """asyncpg arguments: over a unix socket none; whatever goes over a network is TLS with certificate and name of the
    server verified, never less. Its authority is what `PGSSLROOTCERT` names, as for all PostgreSQL clients."""
    parsed = make_url(url)
    host = str(parsed.query.get("host") or parsed.host or "")
    return {} if host.startswith("/") else {"ssl": "verify-full"}


async def set_context(
    session: AsyncSession, *, workspace_id: str | None = None, account_id: str | None = None
) -> None:
    """Sets whose rows this transaction sees from here on; both values are replaced."""
    await session.execute(_SET_CONTEXT, {"workspace_id": workspace_id or "", "account_id": account_id or ""})


def _json(value: Any) -> str:
    return to_json(value).decode()


class Database:
    """One engine and its sessions. `url` is a SQLAlchemy URL with the asyncpg driver."""

    def __init__(self, url: str, *, pooler: Pooler = "none", pool_size: int = 5) -> None:
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            connect_args=connect_arguments(pooler) | tls_arguments(url),
            hide_parameters=True,
            json_serializer=_json,
        )
        if pooler == "none":
            liveness.watch(self.engine)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> Database:
        return cls(
            settings.database_url.get_secret_value(),
            pooler=settings.database_pooler,
            pool_size=settings.database_pool_size,
        )

    @asynccontextmanager
    async def transaction(
        self, workspace_id: str | None = None, account_id: str | None = None
    ) -> AsyncIterator[AsyncSession]:
        """One transaction: commits at the end, rolls back on any exception. `ConnectionError` when there is no
        database to talk to."""
        async with self._sessions() as session, session.begin():
            try:
                if workspace_id or account_id:
                    await set_context(session, workspace_id=workspace_id, account_id=account_id)
                else:  # background work: its role has its own policy, and there is nothing to set
                    await session.connection()
            except (OSError, PoolTimeout) as error:
                raise ConnectionError("the database does not answer") from error
            yield session

    async def ping(self) -> None:
        """Raises when the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("select 1"))

    async def dispose(self) -> None:
        await self.engine.dispose()
