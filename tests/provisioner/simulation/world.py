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
from dataclasses import dataclass, field
from typing import Any

from services.provisioner.models import Server
from services.provisioner.reconciler.lease import Lease
from tests.provisioner.outside.cloud import MemoryCloud, Thing

TIMEOUT, LEASE, MARGIN = 2.0, 6.0, 0.5
LATE, LAG = 10.0, 3.0
WINDOW = LEASE + LATE + LAG + TIMEOUT + 1
TROUBLE_ENDS = 90.0
HORIZON = 400.0


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
