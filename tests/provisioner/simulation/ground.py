"""The two stores as a test meets them: the one in PostgreSQL and the one in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import func, select, update

from services.provisioner.models import CloudResource, Server
from services.provisioner.reconciler import lease as leases
from services.provisioner.reconciler.lease import Lease
from services.provisioner.reconciler.postgres import PostgresStore
from services.provisioner.reconciler.store import Held, Known, Store
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Findings
from shared.contracts.provisioner_events import ServerDeleted
from shared.db.kit_tables import audit_entry
from shared.ids import new_id
from tests.provisioner.simulation.memory import MemoryStore
from tests.provisioner.simulation.memory_books import MemoryBooks
from tests.provisioner.simulation.memory_findings import MemoryFindings
from tests.provisioner.stage import Stage


class Ground(Protocol):
    """A store, and what the rest of the service does to the same rows."""

    store: Store
    findings: Findings

    async def buy(self) -> str: ...
    async def wake(self, server_id: str) -> None: ...
    async def run_out(self) -> None:
        """The leases of all servers are over."""
        ...

    async def server(self, server_id: str) -> Server: ...
    async def events(self) -> list[Any]: ...
    async def audited(self) -> list[str]: ...


class InMemory:
    def __init__(self) -> None:
        self._store = MemoryStore(asyncio.get_running_loop().time)
        self._books = MemoryBooks(self._store)
        self.store: Store = self._store
        self.findings: Findings = MemoryFindings(self._store)

    async def buy(self) -> str:
        return await self._books.buy()

    async def wake(self, server_id: str) -> None:
        self._store.due_now(server_id)

    async def run_out(self) -> None:
        for row in self._store.rows(Server):
            self._store.change(Server, row.id, lease_until=self._store.now() - timedelta(seconds=1))

    async def server(self, server_id: str) -> Server:
        found = self._store.row(Server, server_id)
        assert found is not None
        return found

    async def events(self) -> list[Any]:
        return [event for event, _, _ in self._store.events]

    async def audited(self) -> list[str]:
        return self._store.audited


class InPostgres:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.store: Store = PostgresStore(stage.database)
        self.findings: Findings = PostgresFindings(stage.database)

    async def buy(self) -> str:
        return (await self._stage.paid()).id

    async def wake(self, server_id: str) -> None:
        async with self._stage.database.transaction() as session:
            await leases.wake(session, server_id)

    async def run_out(self) -> None:
        async with self._stage.database.transaction() as session:
            await session.execute(update(Server).values(lease_until=func.now() - timedelta(seconds=1)))

    async def server(self, server_id: str) -> Server:
        return await self._stage.server(server_id)

    async def events(self) -> list[Any]:
        return await self._stage.others.bus.emitted(ServerDeleted)

    async def audited(self) -> list[str]:
        async with self._stage.database.transaction() as session:
            rows = select(audit_entry.c.action).where(audit_entry.c.action.like("%server%"))
            return list(await session.scalars(rows))


async def claimed(ground: Ground, owner: str = "w", seconds: float = 30.0) -> Lease:
    lease = await ground.store.claim(owner, seconds)
    assert lease is not None
    return lease


async def known(ground: Ground, lease: Lease) -> Known:
    async with ground.store.hold(lease) as held:
        return await held.load()


def resource(held: Held, **values: Any) -> CloudResource:
    row = CloudResource(**{
        "id": new_id("res"), "workspace_id": held.server.workspace_id, "server_id": held.server.id, "kind": "ip",
        "slot": "v4-1", "zone": "fr-par-1", "attempt": 1, "request": {}, "state": "intent",
        "intent_at": held.server.created_at, **values,
    })  # fmt: skip
    held.session.add(row)
    return row
