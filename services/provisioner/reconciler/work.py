"""One pass over one server: what is known of it, the ports to look and act through, and the fenced way to write."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.hosts.port import HostAddress, HostPort
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
from services.provisioner.plans import Catalogue
from services.provisioner.ports import BillingPort, CloudPort, SelfTestPort, VaultPort
from services.provisioner.reconciler.identity import OneTimeKeys
from services.provisioner.reconciler.lease import Lease, LostLease, hold, renew
from services.provisioner.settings import WorkerSettings
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.envelope import EventData
from shared.db.database import Database


@dataclass(frozen=True)
class Ports:
    """Everything outside that a step may use."""

    settings: WorkerSettings
    catalogue: Catalogue
    clock: Clock
    cloud: CloudPort
    host: HostPort
    vault: VaultPort
    billing: BillingPort
    self_test: SelfTestPort
    one_time_keys: OneTimeKeys
    user_ca_public_key: str
    """Whose certificates hosts accept: `ssh-ed25519 AAAA…`."""


@dataclass
class Known:
    """The rows of one server as they were when the pass began, or when they were last reloaded."""

    server: Server
    subscription: Subscription
    resources: list[CloudResource] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    conditions: dict[str, Condition] = field(default_factory=dict)
    domains: list[Domain] = field(default_factory=list)
    leaving: list[Domain] = field(default_factory=list)
    """Domains of another server by now, whose records are still published for this one."""
    mailboxes: list[Mailbox] = field(default_factory=list)
    verifiers: dict[str, list[dict[str, Any]]] = field(default_factory=dict, repr=False)


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
    one.verifiers = {row.mailbox_id: row.verifiers for row in verifiers}
    return one


@dataclass
class Write:
    """A transaction that holds the server's row under our fence. `server` is the row: assign to it."""

    session: AsyncSession
    server: Server
    lease: Lease
    now: datetime

    async def emit(self, event: EventData) -> None:
        """Emits a fact about the server, with its next version."""
        self.server.version += 1
        await outbox.emit(
            self.session,
            event,
            subject=self.server.id,
            workspace_id=self.server.workspace_id,
            aggregate_version=self.server.version,
        )

    def log(
        self,
        step: str,
        outcome: str,
        *,
        subject_id: str | None = None,
        attempt: int = 1,
        message: str = "",
        next_action: str = "",
        error_class: str | None = None,
        evidence: dict[str, Any] | None = None,
    ) -> None:
        """Adds a row to the step log; `subject_id` is the domain or mailbox it is about, else the server."""
        self.session.add(
            StepLog(
                workspace_id=self.server.workspace_id,
                server_id=self.server.id,
                subject_id=subject_id or self.server.id,
                step=step,
                outcome=outcome,
                attempt=attempt,
                generation=self.server.generation,
                fence=self.lease.fence,
                at=self.now,
                error_class=error_class,
                message=message or None,
                next_action=next_action or None,
                evidence=evidence or {},
            )
        )


class Work:
    """A pass: the lease, what is known, and the ports."""

    def __init__(self, database: Database, lease: Lease, known: Known, ports: Ports) -> None:
        self.database = database
        self.lease = lease
        self.known = known
        self.ports = ports
        self._mark = time.monotonic()

    @property
    def server(self) -> Server:
        return self.known.server

    @property
    def settings(self) -> WorkerSettings:
        return self.ports.settings

    def now(self) -> datetime:
        """By the database's clock, as it was at the claim plus the time that has passed since."""
        return self.lease.claimed_at + timedelta(seconds=time.monotonic() - self._mark)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Write]:
        """A short transaction under the fence. Raises LostLease before anything is written."""
        async with self.database.transaction() as session:
            server = await hold(session, self.lease)
            write = Write(session, server, self.lease, self.now())
            yield write
        self.known.server = write.server

    async def reload(self) -> None:
        async with self.database.transaction() as session:
            self.known = await load(session, await hold(session, self.lease))

    async def need_lease(self, seconds: float) -> None:
        """Makes sure that the lease lasts `seconds` more, before a call whose effect cannot be taken back."""
        wanted = seconds + self.settings.lease_margin_seconds
        if self.lease.remaining() < wanted:
            await renew(self.database, self.lease)
        if self.lease.remaining() < wanted:
            raise LostLease(f"{self.lease.server_id}: the lease is too short for this call")

    def condition(self, kind: str) -> Condition | None:
        return self.known.conditions.get(kind)

    def is_true(self, kind: str) -> bool:
        condition = self.condition(kind)
        return condition is not None and condition.status == "true"

    def resource(self, kind: str, slot: str = "main") -> CloudResource | None:
        """The present row of that slot, whatever its state; those that are gone or leaked do not count."""
        return next(
            (
                row
                for row in self.known.resources
                if (row.kind, row.slot) == (kind, slot) and row.state not in ("gone", "leaked")
            ),
            None,
        )

    def bound(self, kind: str, slot: str = "main") -> CloudResource:
        """The bound row of that slot; a step may rely on it when it `needs` the step that binds it."""
        row = self.resource(kind, slot)
        if row is None or row.state != "bound" or row.external_id is None:
            raise LookupError(f"{kind} {slot} of {self.server.id} is not bound")
        return row

    def candidate(self, family: int) -> Address | None:
        """The address in use or in question: the newest that is neither refused nor given back."""
        usable = [
            row
            for row in self.known.addresses
            if row.family == family and row.state in ("checking", "clean", "live")
        ]
        return usable[-1] if usable else None

    def address(self, family: int) -> str:
        row = self.candidate(family)
        if row is None:
            raise LookupError(f"{self.server.id} has no IPv{family} address")
        return row.address

    def host_address(self) -> HostAddress:
        """Where the host is, and which key it must show: the one-time key until it has taken its own."""
        server = self.server
        one_time = self.ports.one_time_keys.public(server.id, server.incarnation)
        pinned = server.host_key if server.host_key_own and server.host_key else one_time
        return HostAddress(server_id=server.id, address=self.address(4), pinned_host_key=pinned)
