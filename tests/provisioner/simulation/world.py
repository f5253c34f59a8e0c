"""One server's life under faults, by a seed: what goes wrong, who is paused or killed, and what must never happen.

The reconciler and the sweeper are the real ones; what is simulated is the time, the cloud and the misfortune. Times are
those of production divided by eight: a cloud may carry out a create up to `LATE` seconds after it was sent, lists lag
by up to `LAG`, calls are given up after `TIMEOUT`, and `WINDOW` covers all of them and a lease.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from services.provisioner.models import Server
from services.provisioner.ports import (
    CloudBusy,
    CloudError,
    CloudNotFound,
    CloudOutOfStock,
    CloudRateLimited,
    CloudUnavailable,
)
from services.provisioner.reconciler.lease import Lease
from services.provisioner.reconciler.store import Held, Store
from tests.provisioner.cloud import MemoryCloud, Thing

TIMEOUT, LEASE, MARGIN = 2.0, 6.0, 0.5
LATE, LAG = 10.0, 3.0
WINDOW = LEASE + LATE + LAG + TIMEOUT + 1
TROUBLE_ENDS = 90.0
HORIZON = 400.0
CREATES = {"create_instance": "instance", "reserve_ip": "ip", "create_security_group": "security_group"}


class Killed(BaseException):
    """The process is gone; nothing of it runs on."""


class Violation(BaseException):
    """What must never happen has happened. Like a kill it is none of the errors that the reconciler outlives."""


@dataclass(frozen=True)
class Odds:
    """Chances, each of one event at one place."""

    create: float = 0.4
    act: float = 0.12
    look: float = 0.08
    list: float = 0.15
    host: float = 0.04
    kill: float = 0.02
    pause: float = 0.008
    pause_before_create: float = 0.04
    listed: float = 0.1
    cancel: float = 0.5
    lively: float = 0.3
    """That the customer does more than buy and leave."""


CALM = Odds(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass
class Script:
    """Misfortunes that come for certain. `calls`: what becomes of the next calls of a method, in order (`ok` included);
    `kills`: crashpoints at which a worker dies once; `pauses`: for how long whoever calls a method next is stopped
    before it; `cancel_when`: the customer leaves once this many creates were sent."""

    calls: dict[str, list[str]] = field(default_factory=dict)
    kills: list[str] = field(default_factory=list)
    pauses: dict[str, float] = field(default_factory=dict)
    cancel_when: int | None = None

    def next(self, method: str) -> str | None:
        waiting = self.calls.get(method)
        return waiting.pop(0) if waiting else None


@dataclass
class Worker:
    """One process as the world sees it. A paused one does nothing until `paused_until`."""

    name: str
    paused_until: float = 0.0
    lease: Lease | None = None


@dataclass
class Sent:
    """One create that was sent. `comes` once it is certain that it came, or will come, to pass; `zombie` when its
    sender had lost its lease: nothing can keep such a one from being sent."""

    kind: str
    slot: str
    at: float
    zombie: bool
    comes: bool = False
    hidden: bool = False
    request: Any = None
    due: float = 0.0
    """When it comes to pass, if late."""


@dataclass
class World:
    seed: int
    odds: Odds = field(default_factory=Odds)
    script: Script = field(default_factory=Script)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.loop = asyncio.get_running_loop()
        self.cloud = MemoryCloud(self.loop.time)
        self.cloud.faults.boot_seconds = 3.0
        self.trace: list[tuple[float, str, str]] = []
        self.sent: list[Sent] = []
        self.claims: dict[str, Worker] = {}
        self.visited: set[str] = set()
        self.server: Callable[[], Server | None] = lambda: None
        self.hid_something_at = -WINDOW
        self.sweeps = 0
        # In a few lives most addresses are refused, so that the server is held up for a while.
        unlucky = random.Random(f"addresses {self.seed}").random() < 0.05
        self.listed = 0.75 if unlucky and self.odds.listed else self.odds.listed
        self.accepted: Counter[str] = Counter()
        self.stops = 0
        self.anew: set[str] = set()
        self.background: set[asyncio.Task[Any]] = set()

    # -- time and misfortune ---------------------------------------------------------------------------------

    def now(self) -> float:
        return self.loop.time()

    def note(self, who: str, what: str) -> None:
        self.trace.append((self.now(), who, what))

    def requests(self, kind: str) -> list[Any]:
        """What was asked for in each create of that kind that was sent."""
        return [one.request for one in self.sent if one.kind == kind]

    def unlucky(self, chance: float) -> bool:
        return self.now() < TROUBLE_ENDS and self.random.random() < chance

    def later(self, seconds: float, act: Callable[[], Any]) -> None:
        async def run() -> None:
            await asyncio.sleep(seconds)
            await act()

        task = self.loop.create_task(run())
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def through(self, worker: Worker, pause: float | None = None) -> None:
        """A moment passes, and perhaps the worker is stopped for longer than its lease."""
        await asyncio.sleep(self.random.uniform(0.01, 0.1))
        if self.unlucky(self.odds.pause if pause is None else pause):
            worker.paused_until = self.now() + self.random.uniform(LEASE, 6 * LEASE)
            self.note(worker.name, f"paused until {worker.paused_until:.1f}")
        await asyncio.sleep(max(0.0, worker.paused_until - self.now()))

    def place(self, worker: Worker) -> Callable[[str], None]:
        """What a crashpoint does in that worker's process."""

        def visit(name: str) -> None:
            self.visited.add(name)
            if name in self.script.kills:
                self.script.kills.remove(name)
                raise Killed(name)
            if self.unlucky(self.odds.kill):
                self.note(worker.name, f"killed at {name}")
                raise Killed(name)

        return visit

    # -- what must never happen ------------------------------------------------------------------------------

    def works(self, worker: Worker, server_id: str) -> bool:
        """Whether nobody has claimed the server after this worker, and its lease lasts."""
        mine = self.claims.get(server_id) is worker
        return mine and worker.lease is not None and worker.lease.remaining() > 0

    def writes(self, worker: Worker, server_id: str) -> None:
        if self.claims.get(server_id) is not worker:
            raise Violation(f"{worker.name} writes although another one has claimed the server")

    def sends(self, worker: Worker, kind: str, tags: tuple[str, ...]) -> Sent:
        """A create leaves: no earlier one of the same thing may have come, or still come, to pass."""
        server_id = next(tag for tag in tags if tag.startswith("sc-srv:"))[7:]
        slot = next(tag for tag in tags if tag.startswith("sc-res:"))
        one = Sent(kind, slot, self.now(), zombie=not self.works(worker, server_id))
        for earlier in self.sent:
            if (
                earlier.slot == slot
                and earlier.comes
                and not (one.zombie or earlier.zombie or earlier.hidden)
            ):
                raise Violation(
                    f"{kind} is asked for again although the try of {earlier.at:.1f} comes to pass"
                )
        server = self.server()
        if kind == "instance" and server is not None and server.ever_ready and not one.zombie:
            self.anew.add(slot)
            if len(self.anew) > self.accepted["rebuild"]:
                raise Violation("a server that was Ready is made anew, and nobody has ordered it")
        self.sent.append(one)
        return one

    def powered(self) -> list[Thing]:
        states = [(thing, self.cloud._instance(thing).state) for thing in self.cloud.living("instance")]
        return [thing for thing, state in states if state in ("starting", "running")]

    def switched_on(self) -> None:
        if len(self.powered()) > 1:
            raise Violation("two servers are switched on")


_ERRORS: dict[str, CloudError] = {
    "503": CloudUnavailable("503"),
    "504": CloudUnavailable("504"),
    "429": CloudRateLimited("429", retry_after=1.0),
    "409": CloudBusy("409"),
    "404": CloudNotFound("404"),
}


class Clouded:
    """The cloud as one worker meets it."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        world, worker = self._world, self._worker
        method = getattr(world.cloud, name)

        async def call(zone: str, *args: Any) -> Any:
            worker.paused_until = world.now() + world.script.pauses.pop(name, 0.0)
            await world.through(worker, world.odds.pause_before_create if name in CREATES else None)
            if name in CREATES:
                answer = await self._create(name, method, zone, args)
            elif name.startswith("list_"):
                answer = self._list(name, await method(zone, *args))
            else:
                answer = await self._act(name, method, zone, args)
            await world.through(worker)
            return answer

        return call

    async def _create(self, name: str, method: Any, zone: str, args: tuple[Any, ...]) -> Any:
        world, kind = self._world, CREATES[name]
        tags = tuple(args[-1])
        sent = world.sends(self._worker, kind, tags)
        sent.request = args[0]
        world.cloud.faults.list_lag = world.random.uniform(0, LAG)
        what = world.script.next(name) or "ok"
        if world.unlucky(world.odds.create):
            what = world.random.choice(
                ("late", "late", "late", "504 done", "504 not done", "429", "busy", "out of stock")
            )
        world.note(self._worker.name, f"{name}{' (zombie)' if sent.zombie else ''}: {what}")
        match what:
            case "late":
                sent.comes = True
                delay = world.random.uniform(0, LATE)
                sent.due = world.now() + delay
                world.later(delay, lambda: method(zone, *args))
                await asyncio.sleep(TIMEOUT)
                raise CloudUnavailable("timed out")
            case "504 done":
                sent.comes = True
                await method(zone, *args)
                raise CloudUnavailable("504")
            case "504 not done":
                raise CloudUnavailable("504")
            case "429":
                raise CloudRateLimited("429", retry_after=1.0)
            case "busy":
                raise CloudBusy("409")
            case "out of stock" if kind == "instance":
                raise CloudOutOfStock("although it was said to be available")
        sent.comes = True
        return await method(zone, *args)

    def _list(self, name: str, found: list[Any]) -> list[Any]:
        """Lists may be silent, or leave things out."""
        world = self._world
        what = world.script.next(name) or "ok"
        if world.unlucky(world.odds.list):
            what = world.random.choice(("503", "some"))
        if what == "ok":
            return found
        if what == "503":
            world.note(self._worker.name, f"{name}: 503")
            raise CloudUnavailable("503")
        shown = [one for one in found if what == "some" and world.random.random() < 0.5]
        if len(shown) < len(found):
            world.note(self._worker.name, f"{name}: {len(shown)} of {len(found)}")
            world.hid_something_at = world.now()
            gone = {tag for one in found if one not in shown for tag in one.tags}
            for sent in world.sent:
                sent.hidden = sent.hidden or sent.slot in gone
        return shown

    async def _act(self, name: str, method: Any, zone: str, args: tuple[Any, ...]) -> Any:
        world = self._world
        looks = name.startswith(("get_", "reverse_of", "availability", "find_image"))
        error = _ERRORS.get(world.script.next(name) or "ok")
        if world.unlucky(world.odds.look if looks else world.odds.act):
            error = _ERRORS[world.random.choice(("503", "429", "404") if looks else ("504", "429", "409"))]
        if error is not None:
            world.note(self._worker.name, f"{name}: {error.detail}")
            if isinstance(error, CloudNotFound):
                world.hid_something_at = world.now()
        done = error is None or (isinstance(error, CloudUnavailable) and world.random.random() < 0.5)
        answer = await method(zone, *args) if done else None
        if name == "stop_in_place" and done:
            server = world.server()
            world.note(self._worker.name, f"stop_in_place {args[0]}")
            world.stops += server is not None and world.works(self._worker, server.id)
        if name == "power_on" and done:
            world.note(self._worker.name, f"power_on {args[0]}")
            world.switched_on()
        if error is not None:
            raise copy(error)
        return answer


class Reached:
    """Another port, as one worker reaches it. Some of its calls fail."""

    def __init__(self, world: World, worker: Worker, port: Any, error: Callable[[], Exception]) -> None:
        self._world, self._worker, self._port, self._error = world, worker, port, error

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._world.through(self._worker)
            if self._world.unlucky(self._world.odds.host):
                if self._world.random.random() < 0.5:
                    await method(*args, **kwargs)
                raise self._error()
            return await method(*args, **kwargs)

        return call


class Watched:
    """A store as one worker reaches it, with the world looking on."""

    def __init__(self, world: World, worker: Worker, store: Store) -> None:
        self._world, self._worker, self._store = world, worker, store

    async def claim(self, owner: str, seconds: float) -> Lease | None:
        await self._world.through(self._worker)
        lease = await self._store.claim(owner, seconds)
        if lease is not None:
            self._worker.lease = lease
            self._world.claims[lease.server_id] = self._worker
        return lease

    async def renew(self, lease: Lease) -> None:
        await self._world.through(self._worker)
        await self._store.renew(lease)

    async def wake(self, server_id: str) -> None:
        await self._world.through(self._worker)
        await self._store.wake(server_id)

    def hold(self, lease: Lease) -> Any:
        return _Holding(self, lease)


class _Holding:
    def __init__(self, watched: Watched, lease: Lease) -> None:
        self._watched, self._lease = watched, lease

    async def __aenter__(self) -> Held:
        watched = self._watched
        await watched._world.through(watched._worker)
        self._inner = watched._store.hold(self._lease)
        held = await self._inner.__aenter__()
        watched._world.writes(watched._worker, self._lease.server_id)
        return held

    async def __aexit__(self, *why: Any) -> bool | None:
        return await self._inner.__aexit__(*why)
