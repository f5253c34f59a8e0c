"""A provisioner on a real database, in a world that answers: what tests of the reconciler play on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, select, update

from services.provisioner.bindings import BINDINGS
from services.provisioner.domains import repository as domains
from services.provisioner.models import Condition, Domain, Mailbox, Price, Server, StepLog, Subscription
from services.provisioner.plans import Catalogue
from services.provisioner.reconciler.backoff import Backoff
from services.provisioner.reconciler.engine import Dispatcher, Engine
from services.provisioner.reconciler.identity import OneTimeKeys
from services.provisioner.reconciler.plan import ABSENT, PRESENT
from services.provisioner.reconciler.postgres import PostgresStore
from services.provisioner.reconciler.record import Recorder
from services.provisioner.reconciler.work import Ports
from services.provisioner.servers import service as servers
from services.provisioner.settings import PLANS_FILE, WorkerSettings
from shared.bus.testing import RecordingBus
from shared.clock import SystemClock
from shared.contracts.dns_events import DomainState, NamesetVerified, RecordState
from shared.contracts.envelope import EVENT_TYPES, Envelope
from shared.contracts.provisioner_events import AddressReserved, ServerDnsDesired
from shared.contracts.reputation_events import AddressChecked, Listing
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase
from tests.fixtures.identity import Trust
from tests.provisioner.outside.world import Outside
from tests.provisioner.unread import Unread

ZONE = "sendchief.test"


def worker_settings(trust: Trust, database: ServiceDatabase, **fields: Any) -> WorkerSettings:
    values: dict[str, Any] = {
        "platform_zone": ZONE,
        "environment": "test",
        "scaleway_project": "p",
        "scaleway_secret_key": SecretStr("k"),
        "scaleway_timeout": 0.5,
        "stripe_secret_key": SecretStr("k"),
        "ssh_ca_key_file": Path("/nonexistent"),
        "host_key_secret": SecretStr("x" * 40),
        "control_plane_v4": ["198.51.100.62/32"],
        "acme_contact": f"hostmaster@{ZONE}",
        "self_test_egress": "198.51.100.6:25",
        "lease_seconds": 5.0,
        "lease_margin_seconds": 0.1,
        "quiet_window_seconds": 0.6,
        "poll_seconds": 0.02,
        "backoff_cap": 0.2,
        "recheck_seconds": 3600.0,
        "sweep_dry_run": False,
        "move_hold_seconds": 0.0,
        "sweep_quarantine_seconds": 0.2,
    }
    return trust.settings(WorkerSettings, "provisioner", "worker", database, **{**values, **fields})


def ports_of(settings: WorkerSettings, outside: Any) -> Ports:
    return Ports(
        settings=settings,
        catalogue=Catalogue.load(PLANS_FILE),
        clock=SystemClock(),
        cloud=outside.cloud,
        host=outside.host,
        vault=outside.vault,
        billing=outside.billing,
        self_test=outside.self_test,
        one_time_keys=OneTimeKeys(settings.host_key_secret),
        user_ca_public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
    )


def engine_of(database: Database, ports: Ports, owner: str = "w1") -> Engine:
    settings = ports.settings
    recorder = Recorder(
        Backoff(settings.backoff_base, settings.backoff_cap, random.Random(1)), settings.recheck_seconds, 1.0
    )
    return Engine(PostgresStore(database), ports, recorder, owner=owner, present=PRESENT, absent=ABSENT)


@dataclass
class Others:
    """What the other services answer. `listed` addresses are refused; unproven domains stay unverified."""

    bus: RecordingBus
    outside: Outside
    listed: set[str] = field(default_factory=set)
    verify_forward: bool = True
    verify_reverse: bool = True
    verify_domains: bool = True
    silent: bool = False

    def __post_init__(self) -> None:
        self.unread = Unread(self.bus.database)

    async def step(self) -> None:
        """Answers everything that was emitted since the last time."""
        for body in await self.unread.read():
            if not self.silent:
                envelope = Envelope.model_validate_json(body)
                await self._answer(EVENT_TYPES[envelope.type].model_validate(envelope.data), envelope)

    async def _answer(self, event: Any, envelope: Envelope) -> None:
        if isinstance(event, AddressReserved):
            await self.bus.deliver(self.verdict(event), aggregate_version=envelope.aggregateversion)
        elif isinstance(event, ServerDnsDesired):
            if event.ipv4 and self.verify_forward:
                self.outside.cloud.resolves[event.hostname] = event.ipv4
            await self.bus.deliver(self.names(event), aggregate_version=envelope.aggregateversion)

    def verdict(self, event: AddressReserved) -> AddressChecked:
        bad = event.address in self.listed
        listing = Listing(blacklist="zen.test", tier=1, codes=("127.0.0.2",), meaning="spam")
        return AddressChecked(
            workspace_id=event.workspace_id,
            server_id=event.server_id,
            address_id=event.address_id,
            address=event.address,
            verdict="listed" if bad else "clean",
            listings=(listing,) if bad else (),
            clean=() if bad else ("zen.test",),
        )

    def names(self, event: ServerDnsDesired, **changes: Any) -> NamesetVerified:
        values: dict[str, Any] = {
            "workspace_id": event.workspace_id,
            "server_id": event.server_id,
            "generation": event.generation,
            "withdrawn": event.withdrawn,
            "forward": self.verify_forward,
            "reverse": self.verify_reverse,
            "domains": tuple(
                DomainState(domain_id=one.domain_id, name=one.name, verified=self.verify_domains)
                for one in event.domains
            ),
            "records": (RecordState(name=event.hostname, type="A", state="verified", dnssec=True),),
        }
        return NamesetVerified(**{**values, **changes})


@dataclass
class Stage:
    database: Database
    settings: WorkerSettings
    outside: Outside
    ports: Ports
    engine: Engine
    others: Others

    @classmethod
    def build(cls, trust: Trust, service_database: ServiceDatabase, **fields: Any) -> Stage:
        settings = worker_settings(trust, service_database, **fields)
        database = Database(service_database.worker_url, pool_size=8)
        outside = Outside()
        ports = ports_of(settings, outside)
        bus = RecordingBus(database, BINDINGS)
        return cls(database, settings, outside, ports, engine_of(database, ports), Others(bus, outside))

    async def publish_prices(self) -> None:
        """As if the payment provider had every plan's price."""
        async with self.database.transaction() as session:
            for plan in self.ports.catalogue.plans:
                await session.merge(
                    Price(
                        plan=plan.id,
                        price_id=f"price_{plan.id}",
                        amount_cents=plan.amount_cents,
                        currency=plan.currency,
                        seen_at=func.now(),
                    )
                )

    async def paid(self, *, workspace_id: str | None = None, zone: str = "fr-par-1") -> Server:
        """A server whose subscription has just been paid."""
        async with self.database.transaction() as session:
            subscription = Subscription(
                id=new_id("sub"),
                workspace_id=workspace_id or new_id("ws"),
                plan="starter",
                zone=zone,
                status="active",
                stripe_subscription_id=new_id("sub"),
                created_by=new_id("usr"),
                version=2,
            )
            session.add(subscription)
            await session.flush()
            return await servers.create(session, subscription, ZONE)

    async def server(self, server_id: str) -> Server:
        async with self.database.transaction() as session:
            return await session.get_one(Server, server_id)

    async def condition(self, server_id: str, kind: str) -> Condition | None:
        async with self.database.transaction() as session:
            return await session.get(Condition, (server_id, kind))

    async def is_true(self, server_id: str, kind: str) -> bool:
        found = await self.condition(server_id, kind)
        return found is not None and found.status == "true"

    async def log(self, server_id: str) -> list[StepLog]:
        async with self.database.transaction() as session:
            query = select(StepLog).where(StepLog.server_id == server_id).order_by(StepLog.id)
            return list(await session.scalars(query))

    async def play(self, until: Callable[[], Awaitable[bool]], *, seconds: float = 60.0) -> None:
        """Lets the engine and the others work until `until` holds."""
        end = time.monotonic() + seconds
        while not await until():
            if time.monotonic() > end:
                raise AssertionError(await self.story())
            await self.others.step()
            if await self.engine.work_once() is None:
                await asyncio.sleep(0.05)  # looking costs as much as working

    async def ready(self, server_id: str, *, seconds: float = 60.0) -> None:
        await self.play(lambda: self.is_true(server_id, "HeldReleased"), seconds=seconds)

    async def gone(self, server_id: str, *, seconds: float = 60.0) -> None:
        await self.play(lambda: self.is_gone(server_id), seconds=seconds)

    async def is_gone(self, server_id: str) -> bool:
        return (await self.server(server_id)).deleted_at is not None

    async def cancel(self, server_id: str) -> None:
        async with self.database.transaction() as session:
            server = await session.get_one(Server, server_id)
            await servers.end(session, server, requested_by="test", reason="test")

    async def wish_for_domains(self, server_id: str) -> None:
        """From now on one domain with one mailbox shall come, and another one leave."""
        async with self.database.transaction() as session:
            server = await session.get_one(Server, server_id, with_for_update=True)
            generation = await domains.next_generation(session, server)
            for name, state in (("coming.test", "pending"), ("leaving.test", "removing")):
                session.add(
                    Domain(
                        id=f"dom_{name}", workspace_id=server.workspace_id, server_id=server.id, zone_id="z",
                        name=name, state=state, generation=generation, dkim_rsa_selector="r",
                        dkim_ed25519_selector="e", mta_sts_id="1",
                    )
                )  # fmt: skip
            await session.flush()
            session.add(
                Mailbox(
                    id="mbx_1", workspace_id=server.workspace_id, server_id=server.id,
                    domain_id="dom_coming.test", address="anna@coming.test", local_part="anna",
                    display_name="", state="pending", generation=generation,
                )
            )  # fmt: skip

    async def domains_as_wished(self, server_id: str) -> bool:
        async with self.database.transaction() as session:
            rows = await session.scalars(select(Domain).where(Domain.server_id == server_id))
            mailbox = await session.get_one(Mailbox, "mbx_1")
            return [(row.name, row.state) for row in rows] == [("coming.test", "ready")] and (
                mailbox.state == "active"
            )

    async def due_now(self, server_id: str) -> None:
        """As if time had passed: every wait and recheck of the server is over."""
        async with self.database.transaction() as session:
            await session.execute(
                update(Condition).where(Condition.server_id == server_id).values(due_at=func.now())
            )
            await session.execute(update(Server).where(Server.id == server_id).values(next_at=func.now()))

    def owned(self) -> dict[str, list[str]]:
        kinds = ("instance", "ip", "volume", "security_group")
        return {kind: [thing.id for thing in self.outside.cloud.living(kind)] for kind in kinds}

    async def story(self) -> str:
        """What happened, for a failing test."""
        async with self.database.transaction() as session:
            rows = await session.scalars(select(StepLog).order_by(StepLog.id))
            told = [
                f"{r.server_id[-4:]} {r.step} {r.outcome} {r.message or ''} {r.evidence}"[:200] for r in rows
            ]
            open_ones = await session.scalars(select(Condition).where(Condition.status != "true"))
            told += [f"  {c.type} {c.status} {c.reason} {c.message}" for c in open_ones]
        return "\n".join(told)


__all__ = ["Dispatcher", "Others", "Stage", "engine_of", "ports_of", "worker_settings"]
