"""Part one: servers from paid to Ready by one, two and four workers, before a cloud that answers at once."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select

from bench.provisioner.stage import Bench
from services.provisioner.models import Condition, StepLog
from services.provisioner.reconciler.record import STALLED

STILL_SECONDS = 60.0
TELL_SECONDS = 10.0

MINIMUM = {
    "reserve_ip": 2,
    "create_security_group": 1,
    "set_rules": 1,
    "get_rules": 1,  # read back
    "get_security_group": 1,  # whether outgoing mail is really open
    "availability": 1,
    "find_image": 1,
    "create_instance": 1,
    "list_instances": 1,  # that it is ours, and the only one, before it is switched on
    "get_instance": 1,  # that it runs after
    "tag_volume": 1,  # disks come without tags
    "set_user_data": 2,  # the first boot's, and its removal
    "power_on": 1,
    "set_reverse": 2,
    "reverse_of": 2,  # read back
}
"""Calls without which no server is made and proven: each thing made once, each setting sent once and read back once."""


@dataclass(frozen=True)
class Built:
    workers: int
    servers: int
    seconds: float
    steps: float
    claims: float
    statements: int
    cpu_seconds: float
    calls: dict[str, int]
    ready: int
    waiting: list[str]
    """Of those that did not get ready: what they wait for."""

    @property
    def calls_a_server(self) -> float:
        return sum(self.calls.values()) / self.servers

    @property
    def ratio(self) -> float:
        """Cloud calls a server, by the least that is possible."""
        return self.calls_a_server / sum(MINIMUM.values())

    def row(self) -> str:
        cells = (
            str(self.workers),
            f"{self.seconds:.1f}",
            f"{self.servers / self.seconds:.1f}",
            f"{self.steps / self.seconds:,.0f}",
            f"{self.claims / self.seconds:,.0f}",
            f"{self.calls_a_server:.1f} ({self.ratio:.2f} x)",
            f"{self.statements / self.servers:.0f}",
            f"{self.cpu_seconds / self.servers * 1000:.0f}",
        )
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| workers | seconds | servers/s | steps/s | passes/s | cloud calls a server (x least) | statements a server "
    "| workers' CPU ms a server |\n|---|---|---|---|---|---|---|---|"
)


async def build(one: Bench, servers: int) -> Built:
    """Ends when all are Ready, or when nothing has happened for a minute."""
    one.forget_statements()
    calls, cpu = Counter(one.stage.outside.cloud.calls), one.workers.cpu_seconds()
    steps, claims = await _counters(one)
    began = time.perf_counter()
    async with one.others():
        for _ in range(servers):
            await one.stage.paid()
        ready = await _all_ready(one, servers)
    seconds = time.perf_counter() - began
    steps_after, claims_after = await _counters(one)
    return Built(
        workers=len(one.workers.running),
        servers=servers,
        seconds=seconds,
        steps=steps_after - steps,
        claims=claims_after - claims,
        statements=one.statements(),
        cpu_seconds=one.workers.cpu_seconds() - cpu,
        calls=dict(Counter(one.stage.outside.cloud.calls) - calls),
        ready=ready,
        waiting=[] if ready == servers else await waiting(one),
    )


async def _counters(one: Bench) -> tuple[float, float]:
    names = ("sc_reconcile_steps_total", "sc_reconcile_passes_total")
    steps, claims = [await one.workers.counted(name) for name in names]
    return steps, claims


async def _all_ready(one: Bench, servers: int) -> int:
    """How many have become Ready when all have, or when none gets on any more. Tells how far it is now and then."""
    began = moved = told = time.perf_counter()
    last: tuple[int, int] | None = None
    while True:
        now, seen = time.perf_counter(), await _seen(one)
        if seen != last:
            last, moved = seen, now
        if seen[0] == servers or now - moved > STILL_SECONDS:
            return seen[0]
        if now - told > TELL_SECONDS:
            told = now
            load = os.getloadavg()[0]
            print(f"{now - began:6.0f} s: {seen[0]:,} of {servers:,} ready, load {load:.1f}", file=sys.stderr)
        await asyncio.sleep(0.2)


async def _seen(one: Bench) -> tuple[int, int]:
    """Servers that are Ready, and the number of the last row of the step log."""
    ready = select(func.count()).where(Condition.type == "HeldReleased", Condition.status == "true")
    async with one.stage.database.transaction() as session:
        row = (await session.execute(select(ready.scalar_subquery(), func.max(StepLog.id)))).one()
    return int(row[0]), int(row[1] or 0)


async def waiting(one: Bench) -> list[str]:
    """What the servers wait for that are not Ready."""
    query = (
        select(Condition.type, Condition.reason, func.count())
        .where(Condition.status != "true", Condition.type != STALLED)
        .group_by(Condition.type, Condition.reason)
    )
    async with one.stage.database.transaction() as session:
        return [f"{count} x {kind} {reason}" for kind, reason, count in await session.execute(query)]
