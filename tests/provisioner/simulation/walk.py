"""A walk: one seed, one server, two workers and a sweeper, until nothing moves any more."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Protocol, cast

import structlog
from pydantic import SecretStr

from services.provisioner.hosts.cloud_init import render_user_data
from services.provisioner.hosts.port import HostUnreachable
from services.provisioner.models import Address, CloudResource, Server, Subscription
from services.provisioner.plans import Catalogue
from services.provisioner.ports import CloudPort, PaymentError, VaultUnavailable
from services.provisioner.reconciler.backoff import Backoff
from services.provisioner.reconciler.engine import Engine
from services.provisioner.reconciler.identity import OneTimeKeys
from services.provisioner.reconciler.plan import ABSENT, PRESENT
from services.provisioner.reconciler.record import Recorder
from services.provisioner.reconciler.store import Store
from services.provisioner.reconciler.work import Ports
from services.provisioner.settings import PLANS_FILE, WorkerSettings
from services.provisioner.steps import user_data
from services.provisioner.sweeper import Findings, Sweeper
from shared.clock import SystemClock
from shared.contracts.provisioner_events import AddressReserved, ServerDnsDesired
from shared.crashpoint import watcher
from tests.provisioner.outside import MemoryBilling, MemoryHosts, MemorySelfTest, MemoryVault
from tests.provisioner.simulation.clock import VirtualLoop
from tests.provisioner.simulation.memory import MemoryStore
from tests.provisioner.simulation.memory_findings import MemoryFindings
from tests.provisioner.simulation.world import (
    HORIZON,
    LAG,
    LEASE,
    MARGIN,
    TIMEOUT,
    WINDOW,
    Clouded,
    Killed,
    Odds,
    Reached,
    Script,
    Violation,
    Watched,
    Worker,
    World,
)

ZONE = "fr-par-1"
CATALOGUE = Catalogue.load(PLANS_FILE).model_copy(
    update={"regions": tuple(one for one in Catalogue.load(PLANS_FILE).regions if ZONE in one.zones)}
)


class _Keys(OneTimeKeys):
    """The same keys, worked out once."""

    public = lru_cache(OneTimeKeys.public)  # type: ignore[assignment]
    private_openssh = lru_cache(OneTimeKeys.private_openssh)  # type: ignore[assignment]


@lru_cache
def _render(**parts: Any) -> SecretStr:
    """All servers of the walks have the same name and keys: their first boot is written down once."""
    return render_user_data(**parts)


KEYS = _Keys(SecretStr("x" * 40))
SETTINGS = WorkerSettings.model_construct(
    platform_zone="sendchief.test", environment="test", scaleway_timeout=TIMEOUT, control_plane_v4=["198.51.100.62/32"],
    control_plane_v6=[], acme_contact="hostmaster@sendchief.test", lease_seconds=LEASE, lease_margin_seconds=MARGIN,
    quiet_window_seconds=WINDOW, sweep_dry_run=False, sweep_quarantine_seconds=10.0, sweep_seconds=12.0,
    backoff_cap=20.0, passes_per_claim=20, recheck_seconds=60.0,
)  # fmt: skip


class Books(Protocol):
    """The rest of the service, which writes to the same rows: buying, cancelling, and what others have found out."""

    store: Store
    findings: Findings
    rest: float
    """Seconds between looks. A database is not asked as often as a dictionary."""

    async def buy(self) -> str: ...
    async def cancel(self, server_id: str) -> None: ...
    async def server(self) -> Server: ...
    async def bound(self) -> dict[str, str]:
        """Kinds of the bound things, by their id at the cloud."""
        ...

    async def told(self) -> list[tuple[Any, int]]:
        """Events that were not asked for before, with their versions, oldest first."""
        ...

    async def checked(self, event: AddressReserved, version: int, *, listed: bool) -> None: ...
    async def verified(self, event: ServerDnsDesired, version: int) -> None: ...
    async def wake(self, server_id: str) -> None: ...


@dataclass
class Walk:
    world: World
    books: Books
    ready_instance: str | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _broken: BaseException | None = None

    async def run(self) -> None:
        """Raises Violation."""
        world, r = self.world, self.world.random
        hosts, billing = MemoryHosts(world.cloud), MemoryBilling()
        outside = (hosts, MemoryVault(), billing, MemorySelfTest())
        server_id = await self.books.buy()
        # Half of those who leave do so while the first things are being made.
        cancel_at = r.uniform(0, r.choice((12, 110))) if r.random() < world.odds.cancel else None
        for run in (
            self._process("w1", outside),
            self._process("w2", outside),
            self._sweeping(),
            self._others(),
        ):
            self._tasks.append(asyncio.create_task(self._guard(run)))
        try:
            while not await self._at_rest(cancel_at):
                if world.script.cancel_when is not None and len(world.sent) >= world.script.cancel_when:
                    world.script.cancel_when, cancel_at = None, world.now()
                if cancel_at is not None and world.now() >= cancel_at:
                    await self._cancel(server_id)
                    cancel_at = None
                if world.now() > HORIZON:
                    raise Violation(f"not at rest after {HORIZON:.0f} s: {await self._state()}")
                await asyncio.sleep(1.5 * self.books.rest)
                if self._broken is not None:
                    raise self._broken
                await self._look()
        finally:
            for task in [*self._tasks, *world.background]:
                task.cancel()
            await asyncio.gather(*self._tasks, *world.background, return_exceptions=True)

    async def _guard(self, run: Awaitable[None]) -> None:
        """A process that breaks ends the walk."""
        try:
            await run
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._broken = error

    # -- who works -------------------------------------------------------------------------------------------

    async def _process(self, name: str, outside: tuple[Any, ...]) -> None:
        """Worker after worker: each dies of a kill, and another one starts after a while."""
        world, life = self.world, 0
        while True:
            life += 1
            worker = Worker(f"{name}.{life}")
            watcher.set(world.place(worker))
            engine = self._engine(worker, outside)
            try:
                while True:
                    if await engine.work_once() is None:
                        await asyncio.sleep(world.random.uniform(0.5, 1.5) * self.books.rest)
            except Killed:
                await asyncio.sleep(world.random.uniform(0.5, LEASE))

    def _engine(self, worker: Worker, outside: tuple[Any, ...]) -> Engine:
        world, source = self.world, random.Random(self.world.random.random())
        hosts, vault, billing, self_test = outside
        ports = Ports(
            settings=SETTINGS,
            catalogue=CATALOGUE,
            clock=SystemClock(),
            cloud=cast(CloudPort, Clouded(world, worker)),
            host=cast(Any, Reached(world, worker, hosts, lambda: HostUnreachable("no route"))),
            vault=cast(Any, Reached(world, worker, vault, lambda: VaultUnavailable("away"))),
            billing=cast(Any, Reached(world, worker, billing, lambda: PaymentError("away", retryable=True))),
            self_test=cast(Any, Reached(world, worker, self_test, lambda: HostUnreachable("no route"))),
            one_time_keys=KEYS,
            user_ca_public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        )
        recorder = Recorder(
            Backoff(SETTINGS.backoff_base, SETTINGS.backoff_cap, source), SETTINGS.recheck_seconds, 1.0
        )
        store = Watched(world, worker, self.books.store)
        return Engine(store, ports, recorder, owner=worker.name, present=PRESENT, absent=ABSENT)

    async def _sweeping(self) -> None:
        world = self.world
        worker = Worker("sweeper")
        watcher.set(world.place(worker))
        cloud = cast(CloudPort, Clouded(world, worker))
        while True:
            await asyncio.sleep(world.random.uniform(6, 18))
            world.sweeps += len(CATALOGUE.zones())
            try:
                await Sweeper(self.books.findings, cloud, SETTINGS, CATALOGUE).run()
            except Killed:
                continue

    async def _others(self) -> None:
        """Reputation and DNS answer, late, sometimes twice; and now and then somebody wakes the server for nothing."""
        world, r = self.world, self.world.random
        while True:
            for event, version in await self.books.told():
                for _ in range(2 if world.unlucky(0.2) else 1):
                    world.later(r.uniform(0.1, 3.0), partial(self._answer, event, version))
            if world.unlucky(0.03):
                await self.books.wake((await self.books.server()).id)
            await asyncio.sleep(1.0 * self.books.rest)

    async def _answer(self, event: Any, version: int) -> None:
        if isinstance(event, AddressReserved):
            # The same address gets the same verdict, however often it is asked about; never more than two refusals.
            listed = random.Random(f"{self.world.seed}{event.address}").random() < self.world.odds.listed
            await self.books.checked(event, version, listed=listed and event.attempt < 3)
        elif isinstance(event, ServerDnsDesired):
            if event.ipv4:
                self.world.cloud.resolves[event.hostname] = event.ipv4
            await self.books.verified(event, version)

    async def _cancel(self, server_id: str) -> None:
        self.world.note("customer", "cancels")
        await self.books.cancel(server_id)

    # -- what must hold ----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """What must hold at any time."""
        server = await self.books.server()
        if server.deleted_at is not None:
            self._nothing_left()
        elif server.ever_ready and server.desired == "present":
            instance = next(
                (key for key, kind in (await self.books.bound()).items() if kind == "instance"), None
            )
            self.ready_instance = self.ready_instance or instance
            if instance != self.ready_instance:
                raise Violation(f"Ready with {self.ready_instance}, and now there is {instance}")

    def _nothing_left(self) -> None:
        """At a burial nothing is left, but for what nobody could know of: sent by a zombie, or hidden by the cloud."""
        world = self.world
        if world.now() - world.hid_something_at < WINDOW:
            return
        coming = [one.kind for one in world.sent if one.due > world.now() and not (one.zombie or one.hidden)]
        if coming:
            raise Violation(f"the server was buried before {coming} came to pass")

    async def _at_rest(self, cancel_at: float | None) -> bool:
        world = self.world
        if (
            cancel_at is not None
            or world.script.cancel_when is not None
            or world.cloud.pending
            or world.background
            or world.now() < LAG
        ):
            return False
        server, bound = await self.books.server(), await self.books.bound()
        there = {
            thing.id
            for kind in ("instance", "ip", "volume", "security_group")
            for thing in world.cloud.living(kind)
        }
        if there != set(bound):
            return False
        if server.deleted_at is not None:
            return not there
        if (
            server.desired == "absent"
            or server.observed_generation < server.generation
            or not server.ever_ready
        ):
            return False
        kinds = sorted(bound.values())
        return kinds == ["instance", "ip", "ip", "security_group", "volume"] and [
            world.cloud._instance(one).state for one in world.cloud.living("instance")
        ] == ["running"]

    async def _state(self) -> str:
        server, bound = await self.books.server(), await self.books.bound()
        there = [
            f"{thing.id} {thing.tags}"
            for kind in ("instance", "ip", "volume", "security_group")
            for thing in self.world.cloud.living(kind)
            if thing.id not in bound
        ]
        return f"desired {server.desired}, ever ready {server.ever_ready}, bound {sorted(bound)}, unowned {there}"


class MemoryBooks:
    """The same writes as the service's other rooms make, on the store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.findings = MemoryFindings(store)
        self.rest = 1.0
        self._told = 0

    async def buy(self) -> str:
        store = self.store
        store.put(Subscription(
            id="sub_1", workspace_id="ws_1", plan="starter", zone=ZONE, status="active", created_by="usr_1",
            stripe_subscription_id="sub_stripe", version=2,
        ))  # fmt: skip
        server_id = f"srv_{0:032x}"
        store.put(Server(
            id=server_id, workspace_id="ws_1", subscription_id="sub_1", plan="starter", zone=ZONE, label="s1",
            hostname="s1.mx.sendchief.test", next_at=store.now(), created_at=store.now(),
        ))  # fmt: skip
        return server_id

    async def cancel(self, server_id: str) -> None:
        server = await self.server()
        self.store.change(Server, server_id, desired="absent", generation=server.generation + 1)
        self.store.wake(server_id)

    async def server(self) -> Server:
        return self.store.rows(Server)[0]

    async def bound(self) -> dict[str, str]:
        return {
            str(row.external_id): row.kind for row in self.store.rows(CloudResource) if row.state == "bound"
        }

    async def told(self) -> list[tuple[Any, int]]:
        new = [(event, version) for event, _, version in self.store.events[self._told :]]
        self._told = len(self.store.events)
        return new

    async def checked(self, event: AddressReserved, version: int, *, listed: bool) -> None:
        row = self.store.row(Address, event.address_id)
        if row is None or row.state != "checking":
            return
        listings = [{"blacklist": "zen.test"}] if listed else []
        self.store.change(Address, row.id, state="burned" if listed else "clean", listings=listings)
        self.store.wake(row.server_id)

    async def verified(self, event: ServerDnsDesired, version: int) -> None:
        server = await self.server()
        if event.generation < server.names_seen_generation:
            return
        self.store.change(
            Server, server.id, names_seen_generation=event.generation, names_forward=True, names_reverse=True,
            names_withdrawn=event.withdrawn,
        )  # fmt: skip
        self.store.wake(server.id)

    async def wake(self, server_id: str) -> None:
        self.store.wake(server_id)


def walk_in_memory(seed: int, odds: Odds | None = None, script: Script | None = None) -> World:
    """Raises Violation, whose notes are the trace and how to run it again."""

    async def run() -> World:
        world = World(seed, odds or Odds(), script or Script())
        store = MemoryStore(world.now)
        books = MemoryBooks(store)
        world.server = lambda: next(iter(store.rows(Server)), None)
        try:
            await Walk(world, books).run()
        except Violation as error:
            tell(error, world)
            raise
        return world

    with quiet(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


@contextmanager
def quiet() -> Iterator[None]:
    """Nobody reads the log lines of thousands of lives."""
    before, rendered = structlog.get_config(), user_data.render_user_data
    user_data.render_user_data = _render
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
        user_data.render_user_data = rendered


def tell(error: BaseException, world: World) -> None:
    lines = [f"{at:8.2f} {who:10} {what}" for at, who, what in world.trace]
    error.add_note(
        "\n".join(
            [
                f"seed {world.seed}; again: SC_WALK_SEEDS={world.seed} pytest {__package__.replace('.', '/')}",
                *lines[-120:],
            ]
        )
    )


__all__ = ["MemoryBooks", "Odds", "Script", "Violation", "Walk", "walk_in_memory"]
