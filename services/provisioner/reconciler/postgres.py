"""The reconciler's store in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.jobs.announcing import Story
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

_SERVER: BindParameter[str] = bindparam("server_id")
# Made once: these are asked at every pass.
_CONDITIONS = select(Condition).where(Condition.server_id == _SERVER)
_AROUND = select(
    Subscription,
    exists().where(Domain.server_id == _SERVER),
    exists().where(Domain.moving_from == _SERVER),
    exists().where(Mailbox.server_id == _SERVER),
).where(Subscription.id == bindparam("subscription_id"))
_THINGS = (
    select(CloudResource, Address)
    .outerjoin(Address, Address.resource_id == CloudResource.id)
    .where(CloudResource.server_id == _SERVER)
    .order_by(CloudResource.id)
)


class PostgresStore:
    """A `Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stories: WeakKeyDictionary[Lease, Story] = WeakKeyDictionary()

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
        story = self._stories.setdefault(lease, Story())
        try:
            async with self._database.transaction() as session:
                held = PostgresHeld(session, await leases.hold(session, lease), lease)
                yield held
                await held.announce(story)
        except BaseException:
            del self._stories[lease]  # it may tell of rows that were rolled back
            raise


class PostgresHeld:
    """A `Held`."""

    def __init__(self, session: AsyncSession, server: Server, lease: Lease) -> None:
        self.session = session
        self.server = server
        self._lease = lease
        self._logged: list[StepLog] = []
        self._conditions: dict[str, Condition] | None = None

    def log(self, row: StepLog) -> None:
        self.session.add(row)
        self._logged.append(row)

    async def announce(self, story: Story) -> None:
        """Tells what the new rows of the step log change; they have their numbers by then."""
        if self._logged:
            await self.session.flush()
            await story.announce(self.session, self.server, self._logged)

    async def conditions(self) -> dict[str, Condition]:
        if self._conditions is None:
            self._conditions = await load_conditions(self.session, self.server)
        return self._conditions

    async def load(self) -> Known:
        return await load(self.session, self.server, await self.conditions())

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


async def load_conditions(session: AsyncSession, server: Server) -> dict[str, Condition]:
    rows = await session.scalars(_CONDITIONS, {"server_id": server.id})
    return {row.type: row for row in rows}


async def load(session: AsyncSession, server: Server, conditions: dict[str, Condition]) -> Known:
    """Reads all that belongs to `server`, in the transaction that holds its row. Of what most servers do not have, at
    least while they are made, it is asked only whether it is there."""
    found = await session.execute(
        _AROUND, {"server_id": server.id, "subscription_id": server.subscription_id}
    )
    subscription, has_domains, has_leaving, has_mailboxes = found.one()
    one = Known(server, subscription, conditions=conditions)
    things = await session.execute(_THINGS, {"server_id": server.id})
    for resource, address in things:
        one.resources.append(resource)
        if address is not None:
            one.addresses.append(address)
    one.addresses.sort(key=lambda row: row.id)
    if has_domains:
        one.domains = list(
            await session.scalars(select(Domain).where(Domain.server_id == server.id).order_by(Domain.id))
        )
    if has_leaving:
        one.leaving = list(
            await session.scalars(select(Domain).where(Domain.moving_from == server.id).order_by(Domain.id))
        )
    if has_mailboxes:
        await _load_mailboxes(session, one)
    others = {
        row.moving_from if row.server_id == server.id else row.server_id
        for row in (*one.domains, *one.leaving)
        if row.moving_from is not None
    }
    if others:
        await _load_moves(session, one, others)
    return one


async def _load_mailboxes(session: AsyncSession, one: Known) -> None:
    rows = await session.execute(
        select(Mailbox, MailboxVerifier)
        .outerjoin(MailboxVerifier, MailboxVerifier.mailbox_id == Mailbox.id)
        .where(Mailbox.server_id == one.server.id)
        .order_by(Mailbox.id)
    )
    for mailbox, verifier in rows:
        one.mailboxes.append(mailbox)
        if verifier is not None:
            one.verifiers[mailbox.id] = verifier


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
