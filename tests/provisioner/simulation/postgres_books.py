"""The same lives on PostgreSQL, in the simulation's time: `now()` of its sessions is the loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.billing import refunds
from services.provisioner.billing import repository as billing
from services.provisioner.billing.dunning import Dunning
from services.provisioner.billing.inbox import Inbox
from services.provisioner.bindings import BINDINGS
from services.provisioner.domains import service as domains
from services.provisioner.domains.schemas import CreateDomain
from services.provisioner.mailboxes import service as mailboxes
from services.provisioner.mailboxes.schemas import CreateMailbox
from services.provisioner.models import CloudResource, Domain, Mailbox, ProvenZone, Server, Subscription
from services.provisioner.ports import PaymentInvoice
from services.provisioner.reconciler.lease import wake
from services.provisioner.reconciler.postgres import PostgresStore
from services.provisioner.servers import orders
from services.provisioner.servers import service as servers
from services.provisioner.servers.schemas import RebuildServer
from services.provisioner.sweep_rows import PostgresFindings
from shared.bus.testing import RecordingBus
from shared.contracts.envelope import EVENT_TYPES, Envelope
from shared.contracts.provisioner_events import AddressReserved, ServerDnsDesired
from shared.db.database import Database
from shared.errors import DomainError
from shared.identity import Identity
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase
from tests.provisioner.outside.world import Outside
from tests.provisioner.simulation.books import (
    CATALOGUE,
    SETTINGS,
    ZONE,
    Days,
    Order,
    Served,
    Service,
    agreement,
)
from tests.provisioner.simulation.clock import VirtualLoop
from tests.provisioner.simulation.customer import NAMES
from tests.provisioner.simulation.walk import Odds, Script, Walk, quiet, tell
from tests.provisioner.simulation.world import Violation, World
from tests.provisioner.stage import Others
from tests.provisioner.unread import Unread

# Functions are looked up in `sim` first, so that `now()` is the simulated one; column defaults were bound before.
CLOCK = """
create schema sim;
create function sim.now() returns timestamptz language sql stable as
  $$ select timestamptz '2030-01-01 00:00+00' + make_interval(secs => current_setting('sim.seconds')::float8) $$;
grant usage on schema sim to public;
alter table sweep_finding alter first_seen_at set default sim.now(), alter last_seen_at set default sim.now();
alter role provisioner_worker in database "{name}" set search_path = sim, public, pg_catalog;
"""


class VirtualDatabase(Database):
    """Each transaction is told the simulated time. `at_work` counts what is under way, and time stands still for it."""

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_size=4)
        self.at_work = 0

    @asynccontextmanager
    async def transaction(
        self, workspace_id: str | None = None, account_id: str | None = None
    ) -> AsyncIterator[AsyncSession]:
        self.at_work += 1
        try:
            async with super().transaction(workspace_id, account_id) as session:
                seconds = asyncio.get_running_loop().time()
                await session.execute(
                    text("select set_config('sim.seconds', :seconds, true)"), {"seconds": str(seconds)}
                )
                yield session
        finally:
            self.at_work -= 1


class _Findings(PostgresFindings):
    @asynccontextmanager
    async def leading(self) -> AsyncIterator[bool]:
        """There is one sweeper, and time must go on while it asks the cloud: no transaction is kept open."""
        yield True


class PostgresBooks:
    """The service's own rooms, on its own tables."""

    def __init__(self, database: VirtualDatabase, outside: Outside, seconds: Callable[[], float]) -> None:
        self._database = database
        self._others = Others(RecordingBus(database, BINDINGS), outside)
        self._unread = Unread(database)
        self._events = 0
        self.last: Server | None = None
        self.store = PostgresStore(database)
        self.findings = _Findings(database)
        self.billing = outside.billing
        self.stripe_id = new_id("sub")
        self.rest = 3.0
        self._clock = Days(seconds)
        self._inbox = Inbox(database, self.billing, SETTINGS.platform_zone)
        self._dunning = Dunning(database, CATALOGUE, self._clock)
        self._workspace_id, self._subscription_id = new_id("ws"), new_id("sub")
        self._identity = Identity(
            kind="user", subject="usr_1", workspace_id=self._workspace_id, role="owner", permissions=frozenset(),
            scopes=frozenset(), session_id=None, auth_time=None, issuer="auth", request_id="walk",
        )  # fmt: skip

    async def buy(self) -> str:
        async with self._database.transaction() as session:
            session.add(Subscription(
                id=self._subscription_id, workspace_id=self._workspace_id, plan="starter", zone=ZONE,
                status="pending", created_by=self._identity.subject,
            ))  # fmt: skip
            for name in NAMES:
                session.add(ProvenZone(
                    zone_id=new_id("zon"), workspace_id=self._workspace_id, name=name, proven=True, version=1
                ))  # fmt: skip
        self.billing.invoices["in_1"] = PaymentInvoice(
            id="in_1", status="paid", stripe_subscription_id=self.stripe_id
        )
        self.billing.agreements[self.stripe_id] = agreement(
            self.stripe_id, self._subscription_id, self._workspace_id
        )
        await self.tell()
        return (await self.server()).id

    async def cancel(self, server_id: str) -> None:
        async with self._database.transaction() as session:
            server = await session.get_one(Server, server_id, with_for_update=True)
            await servers.end(session, server, requested_by="test", reason="test")

    async def _taken(self, act: Callable[[AsyncSession], Awaitable[Any]]) -> bool:
        """Whether what a customer asks for is accepted; what is refused changes nothing."""
        try:
            async with self._database.transaction() as session:
                await act(session)
        except DomainError:
            return False
        return True

    async def order(self, kind: Order) -> bool:
        server = await self.server()

        async def act(session: AsyncSession) -> None:
            if kind == "rebuild":
                request = RebuildServer(confirm_name=server.hostname, mail_is_lost=True, reason="test")
                await orders.rebuild(session, self._identity, server.id, request)
            else:
                order = orders.reboot if kind == "reboot" else orders.rescue
                await order(session, self._identity, server.id, "test")

        return await self._taken(act)

    async def serve(self, what: Service, name: str) -> bool:
        server = await self.server()

        async def act(session: AsyncSession) -> None:
            who, now = self._identity, self._clock.now()
            domain = await session.scalar(select(Domain).where(Domain.name == name))
            box = await session.scalar(select(Mailbox).where(Mailbox.address == f"anna@{name}"))
            if what == "add_domain":
                new = CreateDomain(server_id=server.id, name=name)
                await domains.create(session, who, new, CATALOGUE, now)
            elif what == "remove_domain":
                await domains.remove(session, who, domain.id if domain else "dom_none")
            elif what == "add_mailbox":
                asked = CreateMailbox(local_part="anna")
                await mailboxes.create(session, who, domain.id if domain else "dom_none", asked, CATALOGUE)
            else:
                await mailboxes.remove(session, who, box.id if box else "mbx_none")

        return await self._taken(act)

    async def served(self) -> Served:
        async with self._database.transaction() as session:
            row = (await session.scalars(select(Subscription))).one()
            found = await session.scalars(select(Domain))
            boxes = await session.scalars(select(Mailbox))
            return Served(
                {one.name: one.state for one in found},
                {one.address: one.state for one in boxes},
                row.status,
                row.dunning,
            )

    async def tell(self) -> None:
        """A webhook, and whoever works the inbox off."""
        self._events += 1
        kind, subject = (
            ("invoice.paid", "in_1")
            if self._events % 2
            else ("customer.subscription.updated", self.stripe_id)
        )
        async with self._database.transaction() as session:
            await billing.remember(session, f"evt_{self._events}", kind, subject)
        while await self._inbox.work_once():
            pass

    async def dun(self) -> None:
        await self._dunning.run()

    async def refund(self) -> bool:
        return await self._taken(lambda session: refunds.ask(session, self._identity, self._subscription_id))

    async def server(self) -> Server:
        async with self._database.transaction() as session:
            self.last = (await session.scalars(select(Server))).one()
            return self.last

    async def bound(self) -> dict[str, str]:
        async with self._database.transaction() as session:
            rows = await session.scalars(select(CloudResource).where(CloudResource.state == "bound"))
            return {str(row.external_id): row.kind for row in rows}

    async def told(self) -> list[tuple[Any, int]]:
        found = []
        for body in await self._unread.read():
            envelope = Envelope.model_validate_json(body)
            event = EVENT_TYPES[envelope.type].model_validate(envelope.data)
            found.append((event, envelope.aggregateversion))
        return found

    async def checked(self, event: AddressReserved, version: int, *, listed: bool) -> None:
        self._others.listed = {event.address} if listed else set()
        await self._others.bus.deliver(self._others.verdict(event), aggregate_version=version)

    async def verified(self, event: ServerDnsDesired, version: int) -> None:
        await self._others.bus.deliver(self._others.names(event), aggregate_version=version)

    async def wake(self, server_id: str) -> None:
        async with self._database.transaction() as session:
            await wake(session, server_id)


def walk_on_postgres(seed: int, service_database: ServiceDatabase, odds: Odds | None = None) -> World:
    """One life on an empty database that has the simulated clock. Raises Violation."""
    database = VirtualDatabase(service_database.worker_url)

    async def run() -> World:
        world = World(seed, odds or Odds(), Script())
        books = PostgresBooks(database, Outside(world.now), world.now)
        world.server = lambda: books.last
        try:
            await Walk(world, books).run()
        except Violation as error:
            tell(error, world)
            raise
        finally:
            database.at_work += 1  # connections are closed in real time
            await database.dispose()
        return world

    def loop() -> VirtualLoop:
        return VirtualLoop(lambda: database.at_work > 0)

    with quiet(), asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(run())
