"""`make bench-revocation`: how long after authority was taken away the last gateway acts on it.

Auth, its worker and two gateways are real processes with a PostgreSQL and a RabbitMQ of the run's own. Both gateways
are asked without a pause; a figure is the time from *sending* the request that takes the authority away (so before
its commit) until the later of the gateways was sent its first request that it refused: an upper bound of commit to
effect. Three states of the bus: up, killed, and frozen (connections stay open, nothing arrives). Ends with 1 when a
target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures import run
from tests.fixtures.bus import own_rabbit
from tests.fixtures.database import Postgres, make_database, make_roles, migrate
from tests.fixtures.identity import make_trust
from tests.fixtures.revocation import Authority, Stage, revocation_stage

ROOT = Path(__file__).parents[2]
UP_P99_SECONDS, DOWN_MAX_SECONDS = 0.25, 5.0
KINDS = ("session", "membership", "api_key")


@dataclass(frozen=True)
class Series:
    """Seconds of one kind of authority in one state of the bus."""

    bus: str
    kind: str
    seconds: tuple[float, ...]

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def met(self) -> bool:
        if self.bus == "up":
            return self.percentile(0.99) <= UP_P99_SECONDS
        return max(self.seconds) <= DOWN_MAX_SECONDS


async def effect(stage: Stage, authority: Authority) -> float:
    """Seconds from asking for the end of the authority until both gateways refuse it."""
    async with stage.watched(authority) as watches:
        began = time.monotonic()
        await authority.take()
        async with asyncio.timeout(30):
            while not all(watch.refused_after(began) for watch in watches):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    return max(watch.first_refused() for watch in watches) - began


def signalled(stage: Stage, number: signal.Signals) -> None:
    for pid in stage.rabbit.node.pids():
        os.kill(pid, number)


async def measure(stage: Stage, rounds: int, down_rounds: int) -> list[Series]:
    found = []
    for kind in KINDS:
        make = getattr(stage, kind)
        found.append(Series("up", kind, tuple([await effect(stage, await make()) for _ in range(rounds)])))
        print(f"  bus up, {kind}: done", flush=True)
    frozen = []
    for _ in range(down_rounds):
        authority = await stage.membership()
        signalled(stage, signal.SIGSTOP)
        frozen.append(await effect(stage, authority))
        signalled(stage, signal.SIGCONT)
        await stage.fresh(True, 120)
    found.append(Series("frozen", "membership", tuple(frozen)))
    print("  bus frozen: done", flush=True)
    made = [await stage.session() for _ in range(down_rounds)]
    keys = [await stage.api_key() for _ in range(down_rounds)]
    first = await stage.membership()
    async with stage.watched(first) as watches:
        signalled(stage, signal.SIGKILL)
        began = time.monotonic()
        await first.take()
        async with asyncio.timeout(30):
            while not all(watch.refused_after(began) for watch in watches):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    at_the_kill = max(watch.first_refused() for watch in watches) - began
    found.append(Series("killed", "membership", (at_the_kill,)))
    await stage.fresh(False)
    found.append(Series("killed", "session", tuple([await effect(stage, one) for one in made])))
    found.append(Series("killed", "api_key", tuple([await effect(stage, one) for one in keys])))
    print("  bus killed: done", flush=True)
    return found


def table(found: Sequence[Series]) -> str:
    lines = ["| bus | authority | n | p50 | p99 | max | target |", "|---|---|---|---|---|---|---|"]
    for one in found:
        target = "p99 <= 250 ms" if one.bus == "up" else "max <= 5 s"
        p50, p99, most = (f"{value * 1000:.0f} ms" for value in _three(one))
        verdict = "met" if one.met else "MISSED"
        lines.append(
            f"| {one.bus} | {one.kind} | {len(one.seconds)} | {p50} | {p99} | {most} | {target}: {verdict} |"
        )
    return "\n".join(lines)


def _three(one: Series) -> tuple[float, float, float]:
    return one.percentile(0.5), one.percentile(0.99), max(one.seconds)


def save(found: Sequence[Series]) -> Path:
    target = ROOT / "var/bench/revocation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        dict(zip(("p50", "p99", "max"), _three(one), strict=True))
        | {"bus": one.bus, "authority": one.kind, "n": len(one.seconds), "met": one.met}
        for one in found
    ]
    about = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
    }
    target.write_text(json.dumps({"run": about, "seconds": rows}, indent=2) + "\n")
    return target


async def main(rounds: int, down_rounds: int) -> int:
    run.begin()
    cluster = run.cluster()
    try:
        cluster.start()
        run.claim()
        postgres = Postgres(cluster, "bench")
        make_roles(postgres)
        database = make_database(postgres, "auth")
        migrate("auth", database.owner_url)
        with tempfile.TemporaryDirectory(prefix="sc-bench-") as place, own_rabbit() as rabbit:
            directory = Path(place)
            trust = make_trust(directory / "keys", directory / "trust")
            async with revocation_stage(directory, trust, database, rabbit) as stage:
                found = await measure(stage, rounds, down_rounds)
    finally:
        cluster.stop("immediate")
        run.end()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(table(found))
    print(f"\n{save(found).relative_to(ROOT)} has the figures.")
    return 0 if all(one.met for one in found) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.revocation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="per kind of authority, with the bus up")
    parser.add_argument("--down-rounds", type=int, default=8, help="with the bus frozen, and killed")
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.rounds, chosen.down_rounds)))
