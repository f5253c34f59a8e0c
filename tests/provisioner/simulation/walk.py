"""A walk: one seed, one server, two workers and a sweeper, until nothing moves any more."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, cast

import pytest
import structlog
from pydantic import SecretStr

from services.provisioner.hosts.cloud_init import render_user_data
from services.provisioner.hosts.port import HostUnreachable
from services.provisioner.models import Server
from services.provisioner.ports import CloudPort, PaymentError, VaultUnavailable
from services.provisioner.reconciler.backoff import Backoff
from services.provisioner.reconciler.engine import Engine
from services.provisioner.reconciler.identity import OneTimeKeys
from services.provisioner.reconciler.plan import ABSENT, PRESENT
from services.provisioner.reconciler.record import Recorder
from services.provisioner.reconciler.work import Ports
from services.provisioner.steps import user_data
from services.provisioner.sweeper import Sweeper
from shared.clock import SystemClock
from shared.contracts.provisioner_events import AddressReserved, ServerDnsDesired
from shared.crashpoint import watcher
from tests.provisioner.outside.hosts import MemoryHosts
from tests.provisioner.outside.self_test import MemorySelfTest
from tests.provisioner.outside.vault import MemoryVault
from tests.provisioner.simulation.books import CATALOGUE, SETTINGS, Books
from tests.provisioner.simulation.clock import VirtualLoop
from tests.provisioner.simulation.customer import Customer
from tests.provisioner.simulation.memory import MemoryStore
from tests.provisioner.simulation.memory_books import MemoryBooks
from tests.provisioner.simulation.ports import Clouded, Reached, Watched
from tests.provisioner.simulation.world import (
    HORIZON,
    LAG,
    LEASE,
    WINDOW,
    Killed,
    Odds,
    Script,
    Violation,
    Worker,
    World,
)


class _Keys(OneTimeKeys):
    """The same keys, worked out once."""

    public = lru_cache(OneTimeKeys.public)
    private_openssh = lru_cache(OneTimeKeys.private_openssh)


@lru_cache
def _render(**parts: Any) -> SecretStr:
    """All servers of the walks have the same name and keys: their first boot is written down once."""
    return render_user_data(**parts)


KEYS = _Keys(SecretStr("x" * 40))


@dataclass
class Walk:
    world: World
    books: Books
    customer: Customer = field(init=False)
    ready_instances: dict[int, str] = field(default_factory=dict)
    """By incarnation: which machine was Ready first."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _broken: BaseException | None = None

    async def run(self) -> None:
        """Raises Violation."""
        world, r = self.world, self.world.random
        hosts = MemoryHosts(world.cloud)
        outside = (hosts, MemoryVault(), self.books.billing, MemorySelfTest())
        server_id = await self.books.buy()
        self.customer = Customer(world, self.books, hosts)
        # Half of those who leave do so while the first things are being made.
        cancel_at = r.uniform(0, r.choice((12, 110))) if r.random() < world.odds.cancel else None
        for run in (
            self._process("w1", outside),
            self._process("w2", outside),
            self._sweeping(),
            self._others(),
            self.customer.live(),
            self.customer.owe(),
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
            # The same address gets the same verdict, however often it is asked about; never more than four refusals.
            listed = random.Random(f"{self.world.seed}{event.address}").random() < self.world.listed
            await self.books.checked(event, version, listed=listed and event.attempt < 5)
        elif isinstance(event, ServerDnsDesired):
            if event.ipv4:
                self.world.cloud.resolves[event.hostname] = event.ipv4
            await self.books.verified(event, version)

    async def _cancel(self, server_id: str) -> None:
        self.world.note("customer", "cancels")
        await self.books.cancel(server_id)
        self.customer.left = True

    # -- what must hold ----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """What must hold at any time."""
        server = await self.books.server()
        self.customer.look(server)
        if server.deleted_at is not None:
            self._nothing_left()
        elif server.ever_ready and server.desired == "present" and _built(server):
            instance = next(
                (key for key, kind in (await self.books.bound()).items() if kind == "instance"), "none"
            )
            known = self.ready_instances.setdefault(server.incarnation, instance)
            if instance != known:
                raise Violation(f"Ready with {known}, and now there is {instance}")

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
            or not self.customer.through
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
        if not await self.customer.at_rest(server):
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


def _built(server: Server) -> bool:
    """The machine that was ordered last is there, and its own key is known."""
    return server.incarnation_cleared == server.incarnation and server.host_key_own


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
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_data, "render_user_data", _render)
        try:
            yield
        finally:
            structlog.configure(**before)


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
