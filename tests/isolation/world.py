"""Two customers, A and B, in every service, with a factory for each kind of thing that a path can name.

A factory makes a fresh, real thing in the service's database and returns its id. What a request has to say beside
the path stands in `bodies.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy import text

from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase, ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.caller import Answer, call
from tests.isolation.cases import TABLE
from tests.isolation.services import MAIL_KEY, app_of, available


@dataclass(frozen=True)
class Customer:
    workspace_id: str
    account_id: str
    name: str


@dataclass(frozen=True)
class Made:
    """A thing of one customer. `extra` is what a request about it has to know."""

    id: str
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Holdings:
    """What a customer has. Equal when nothing of it has changed."""

    rows: tuple[str, ...]

    def words(self) -> frozenset[str]:
        """Every text in it that is long enough to be told apart: ids, names, addresses, tokens."""
        return frozenset(_WORD.findall("\n".join(self.rows)))


_WORD = re.compile(r'(?<=")[^"\\]{8,}(?="(?!:))')


@dataclass
class World:
    trust: Trust
    apps: dict[str, FastAPI]
    databases: dict[str, Database]
    """As the worker role, which sees all."""
    a: Customer
    b: Customer
    directory: Path
    migrated: dict[str, ServiceDatabase]
    """service → its database, as each of its roles reaches it."""
    _tables: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """service → (table, its column that names the workspace)."""

    @property
    def mail_key(self) -> bytes:
        """PEM: what auth's worker signs the links in mails with."""
        return (self.directory / MAIL_KEY).read_bytes()

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        customer: Customer,
        body: Any = None,
        *,
        permissions: frozenset[str] | None = None,
    ) -> Answer:
        """As the owner of the customer's workspace, with all that an owner may do."""
        headers = self.trust.user(
            service,
            workspace_id=customer.workspace_id,
            account_id=customer.account_id,
            permissions=TABLE.permissions_of("owner") if permissions is None else permissions,
        )
        headers |= {"Idempotency-Key": new_id("req"), "If-Match": "*"}
        return await call(self.apps[service], method, path, headers=headers, body=body)

    async def as_service(
        self, caller: str, service: str, method: str, path: str, customer: Customer, body: Any
    ) -> Answer:
        headers = self.trust.service(caller, service, workspace_id=customer.workspace_id)
        return await call(self.apps[service], method, path, headers=headers, body=body)

    async def add(self, service: str, *rows: Any) -> None:
        async with self.databases[service].transaction() as session:
            for row in rows:
                session.add(row)
                await session.flush()

    async def holdings(self, customer: Customer, *, with_uses: bool = False) -> Holdings:
        """Every row of the customer's workspace in every table of every service; with the times at which things were
        last used only if asked for, since every request leaves one."""
        shown = "to_jsonb(t)" if with_uses else "to_jsonb(t) - 'last_used_at'"
        rows: list[str] = []
        for service, database in self.databases.items():
            async with database.transaction() as session:
                if service not in self._tables:
                    found = await session.execute(_TABLES_OF_WORKSPACES)
                    self._tables[service] = [(table, column) for table, column in found]
                selects = " union all ".join(
                    f"select '{table}', ({shown})::text from {table} t "  # noqa: S608
                    f"where {column} = :workspace"
                    for table, column in self._tables[service]
                )
                found = await session.execute(
                    text(f"{selects} order by 1, 2"), {"workspace": customer.workspace_id}
                )
                rows += [f"{service}.{table} {row}" for table, row in found]
        return Holdings(tuple(rows))


_TABLES_OF_WORKSPACES = text(
    "select table_name, column_name from information_schema.columns where table_schema = 'public' "
    "and (column_name in ('workspace_id', 'scope') or (table_name, column_name) = ('workspace', 'id')) "
    "order by 1, 2"
)


Factory = Callable[[World, Customer], Awaitable[Made]]


@asynccontextmanager
async def world(service_database: ServiceDatabases, trust: Trust, directory: Path) -> AsyncIterator[World]:
    from tests.isolation.factories.customers import customer
    from tests.isolation.factories.vault import key_service

    databases = {name: service_database(name) for name in available()}
    apps: dict[str, FastAPI] = {}
    async with key_service(directory / "keys.sock"):
        for name in databases:
            apps[name] = app_of(name, trust, directory, databases[name])
        workers = {name: Database(database.worker_url) for name, database in databases.items()}
        try:
            made = World(trust, apps, workers, customer("A"), customer("B"), directory, databases)
            await _admit(made)
            yield made
        finally:
            await asyncio.gather(*(app.state.database.dispose() for app in apps.values()))
            await asyncio.gather(*(database.dispose() for database in workers.values()))


async def _admit(made: World) -> None:
    from tests.isolation.factories.customers import admit

    for one in (made.a, made.b):
        await admit(made, one)
