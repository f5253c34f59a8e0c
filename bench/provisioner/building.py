"""Part one: servers from paid to Ready by one, two and four workers, before a cloud that answers at once."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select

from bench.provisioner.stage import Bench, until
from services.provisioner.models import Condition

MINIMUM = {
    "reserve_ip": 2,
    "create_security_group": 1,
    "set_rules": 1,
    "get_rules": 1,  # read back
    "get_security_group": 1,  # whether outgoing mail is really open
    "availability": 1,
    "find_image": 1,
    "create_instance": 1,
    "get_instance": 2,  # that it is ours before it is switched on, that it runs after
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
    """Raises TimeoutError when they are not all Ready in ten minutes, or in three seconds each if that is longer."""
    async with one.others():
        one.forget_statements()
        calls, cpu = Counter(one.stage.outside.cloud.calls), one.workers.cpu_seconds()
        steps, claims = await _counters(one)
        began = time.perf_counter()
        for _ in range(servers):
            await one.stage.paid()
        await until(lambda: _all_ready(one, servers), max(600.0, servers * 3.0))
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
    )


async def _counters(one: Bench) -> tuple[float, float]:
    names = ("sc_reconcile_steps_total", "sc_reconcile_passes_total")
    steps, claims = [await one.workers.counted(name) for name in names]
    return steps, claims


async def _all_ready(one: Bench, servers: int) -> bool:
    async with one.stage.database.transaction() as session:
        done = select(func.count()).where(Condition.type == "HeldReleased", Condition.status == "true")
        return bool(await session.scalar(done) == servers)
