"""The reconciler's store in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.jobs import announcing
from services.provisioner.models import (
    Address,
    CloudResource,
    Condition,
    Domain,
    Mailbox,
    MailboxVerifier,
    Server,
    StepLog,
    Subscription,
)
from services.provisioner.reconciler import lease as leases
from services.provisioner.reconciler.lease import Lease
from services.provisioner.reconciler.store import Known
from services.provisioner.subscriptions import service as subscriptions
from services.provisioner.workspaces.emptied import announce_if_empty
from shared import audit
from shared.bus import outbox
from shared.contracts.envelope import EventData
from shared.db.database import Database


class PostgresStore:
    """A `Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, owner: str, seconds: float) -> Lease | None:
        async with self._database.transaction() as session:
            return await leases.claim(session, owner, seconds)

    async def renew(self, lease: Lease) -> None:
        await leases.renew(self._database, lease)

    async def wake(self, server_id: str) -> None:
        async with self._database.transaction() as session:
            await leases.wake(session, server_id)

    @asynccontextmanager
    async def hold(self, lease: Lease) -> AsyncIterator[PostgresHeld]:
        async with self._database.transaction() as session:
            held = PostgresHeld(session, await leases.hold(session, lease), lease)
            yield held
            await held.announce()


class PostgresHeld:
    """A `Held`."""

    def __init__(self, session: AsyncSession, server: Server, lease: Lease) -> None:
        self.session = session
        self.server = server
        self._lease = lease
        self._logged: list[StepLog] = []

    def log(self, row: StepLog) -> None:
        self.session.add(row)
        self._logged.append(row)

    async def announce(self) -> None:
        """Tells what the new rows of the step log change; they have their numbers by then."""
        if self._logged:
            await self.session.flush()
            await announcing.announce(self.session, self._logged)

    async def load(self) -> Known:
        return await load(self.session, self.server)

    async def release(self, after: float) -> None:
        await leases.release(self.session, self._lease, after)

    async def emit(self, event: EventData, *, subject: str, version: int) -> None:
        await outbox.emit(
            self.session,
            event,
            subject=subject,
            workspace_id=self.server.workspace_id,
            aggregate_version=version,
        )

    async def audit(self, action: str) -> None:
        await audit.record(
            self.session,
            workspace_id=self.server.workspace_id,
            actor="provisioner",
            action=action,
            target=self.server.id,
        )

    async def change_status(self, subscription: Subscription, status: Literal["past_due", "ended"]) -> None:
        await subscriptions.change_status(self.session, subscription, status)

    async def announce_if_empty(self) -> None:
        await self.session.flush()
        await announce_if_empty(self.session, self.server.workspace_id)


async def load(session: AsyncSession, server: Server) -> Known:
    """Reads all that belongs to `server`, in the transaction that holds its row."""
    one = Known(server, await session.get_one(Subscription, server.subscription_id))
    of_server = server.id
    one.resources = list(
        await session.scalars(
            select(CloudResource).where(CloudResource.server_id == of_server).order_by(CloudResource.id)
        )
    )
    one.addresses = list(
        await session.scalars(select(Address).where(Address.server_id == of_server).order_by(Address.id))
    )
    one.conditions = {
        row.type: row
        for row in await session.scalars(select(Condition).where(Condition.server_id == of_server))
    }
    one.domains = list(
        await session.scalars(select(Domain).where(Domain.server_id == of_server).order_by(Domain.id))
    )
    one.leaving = list(
        await session.scalars(select(Domain).where(Domain.moving_from == of_server).order_by(Domain.id))
    )
    one.mailboxes = list(
        await session.scalars(select(Mailbox).where(Mailbox.server_id == of_server).order_by(Mailbox.id))
    )
    verifiers = await session.scalars(
        select(MailboxVerifier)
        .join(Mailbox, Mailbox.id == MailboxVerifier.mailbox_id)
        .where(Mailbox.server_id == of_server)
    )
    one.verifiers = {row.mailbox_id: row for row in verifiers}
    others = {
        row.moving_from if row.server_id == of_server else row.server_id
        for row in (*one.domains, *one.leaving)
        if row.moving_from is not None
    }
    if others:
        await _load_moves(session, one, others)
    return one


async def _load_moves(session: AsyncSession, one: Known, others: set[str]) -> None:
    """What domains bring along that move here, and the servers that domains come from or go to."""
    mine = one.server.id
    one.arriving = list(
        await session.scalars(
            select(Mailbox)
            .join(Domain, Domain.id == Mailbox.domain_id)
            .where(Domain.server_id == mine, Mailbox.server_id != mine)
            .order_by(Mailbox.id)
        )
    )
    one.others = {row.id: row for row in await session.scalars(select(Server).where(Server.id.in_(others)))}
    for row in await session.scalars(
        select(Address).where(Address.server_id.in_(others)).order_by(Address.id)
    ):
        one.others_addresses.setdefault(row.server_id, []).append(row)
