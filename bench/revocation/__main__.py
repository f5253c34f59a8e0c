"""`make bench-revocation`: how long after authority was taken away the last gateway acts on it.

Auth, its worker and two gateways are real processes with a PostgreSQL and a RabbitMQ of the run's own. Both gateways
are asked without a pause. Two figures until the later of the gateways was sent its first request that it refused: from
the commit, by which targets are judged, and from sending the request that takes the authority away, which has that
request's own time in it. The moment of the commit is PostgreSQL's (`track_commit_timestamp`), of the transaction that
numbered the change. Three states of the bus: up, killed, and frozen (connections stay open, nothing arrives). Ends
with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg

from infra.local.postgres import PostgresCluster
from services.auth.stream import STREAM
from shared.bus.relay import asyncpg_arguments
from tests.fixtures import run
from tests.fixtures.bus import own_rabbit
from tests.fixtures.database import Postgres, make_database, make_roles, migrate
from tests.fixtures.identity import make_trust
from tests.fixtures.revocation import Authority, Stage, revocation_stage

ROOT = Path(__file__).parents[2]
UP_P99_SECONDS, DOWN_MAX_SECONDS = 0.25, 5.0
KINDS = ("session", "membership", "api_key")


@dataclass(frozen=True)
class Effect:
    """Seconds until both gateways refused."""

    from_commit: float
    from_sending: float


@dataclass(frozen=True)
class Series:
    """Seconds of one kind of authority in one state of the bus."""

    bus: str
    kind: str
    effects: tuple[Effect, ...]

    def percentile(self, share: float, *, sending: bool = False) -> float:
        ordered = sorted(one.from_sending if sending else one.from_commit for one in self.effects)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def longest(self) -> float:
        return self.percentile(1.0)

    @property
    def met(self) -> bool:
        if self.bus == "up":
            return self.percentile(0.99) <= UP_P99_SECONDS
        return self.longest <= DOWN_MAX_SECONDS


class Commits:
    """When auth's database committed what."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def last_change(self) -> float:
        """Of authority, by the monotonic clock."""
        at = await self._connection.fetchval(
            "select extract(epoch from pg_xact_commit_timestamp(xmin)) from stream_position where name = $1",
            STREAM,
        )
        return float(at) - time.time() + time.monotonic()


async def effect(
    stage: Stage, commits: Commits, authority: Authority, before: Callable[[], None] = lambda: None
) -> Effect:
    """Takes the authority away, after `before`, while both gateways are asked."""
    async with stage.watched(authority) as watches:
        before()
        began = time.monotonic()
        await authority.take()
        committed = await commits.last_change()
        if not began < committed < time.monotonic():
            raise RuntimeError("the change was not committed while it was asked for")
        async with asyncio.timeout(30):
            while not all(watch.refused_after(began) for watch in watches):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    refused = max(watch.first_refused() for watch in watches)
    # What was on its way already when the change was committed may be refused too: no time at all.
    return Effect(max(refused - committed, 0.0), max(refused - began, 0.0))


def signalled(stage: Stage, number: signal.Signals) -> None:
    for pid in stage.rabbit.node.pids():
        with contextlib.suppress(ProcessLookupError):  # one that ended with its parent
            os.kill(pid, number)


async def measure(stage: Stage, commits: Commits, rounds: int, down_rounds: int) -> list[Series]:
    found = []
    for kind in KINDS:
        make = getattr(stage, kind)
        found.append(
            Series("up", kind, tuple([await effect(stage, commits, await make()) for _ in range(rounds)]))
        )
        print(f"  bus up, {kind}: done", flush=True)
    frozen: list[Effect] = []
    for _ in range(down_rounds):
        authority = await stage.membership()
        signalled(stage, signal.SIGSTOP)
        frozen.append(await effect(stage, commits, authority))
        signalled(stage, signal.SIGCONT)
        await stage.fresh(True, 120)
    found.append(Series("frozen", "membership", tuple(frozen)))
    print("  bus frozen: done", flush=True)
    made = [await stage.session() for _ in range(down_rounds)]
    keys = [await stage.api_key() for _ in range(down_rounds)]
    first = await stage.membership()
    at_the_kill = await effect(stage, commits, first, lambda: signalled(stage, signal.SIGKILL))
    found.append(Series("killed", "membership", (at_the_kill,)))
    await stage.fresh(False)
    found.append(Series("killed", "session", tuple([await effect(stage, commits, one) for one in made])))
    found.append(Series("killed", "api_key", tuple([await effect(stage, commits, one) for one in keys])))
    print("  bus killed: done", flush=True)
    return found


def table(found: Sequence[Series]) -> str:
    lines = [
        "| bus | authority | n | p50 | p99 | max | from sending: p50 | p99 | target |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        target = "p99 <= 250 ms" if one.bus == "up" else "max <= 5 s"
        figures = " | ".join(f"{value * 1000:.0f} ms" for value in _figures(one).values())
        verdict = "met" if one.met else "MISSED"
        lines.append(f"| {one.bus} | {one.kind} | {len(one.effects)} | {figures} | {target}: {verdict} |")
    return "\n".join(lines)


def _figures(one: Series) -> dict[str, float]:
    return {
        "p50": one.percentile(0.5),
        "p99": one.percentile(0.99),
        "max": one.longest,
        "p50_from_sending": one.percentile(0.5, sending=True),
        "p99_from_sending": one.percentile(0.99, sending=True),
    }


def save(found: Sequence[Series]) -> Path:
    target = ROOT / "var/bench/revocation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"bus": one.bus, "authority": one.kind, "n": len(one.effects), "met": one.met, **_figures(one)}
        for one in found
    ]
    about = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
    }
    target.write_text(json.dumps({"run": about, "seconds": rows}, indent=2) + "\n")
    return target


async def keep_commit_times(cluster: PostgresCluster) -> None:
    connection = await asyncpg.connect(**asyncpg_arguments(cluster.superuser_url()))
    await connection.execute("alter system set track_commit_timestamp = on")
    await connection.close()
    cluster.stop()
    cluster.start()


async def main(rounds: int, down_rounds: int) -> int:
    run.begin()
    cluster = replace(run.cluster(), durable=True)  # a commit is one
    try:
        cluster.start()
        run.claim()
        await keep_commit_times(cluster)
        postgres = Postgres(cluster, "bench")
        make_roles(postgres)
        database = make_database(postgres, "auth")
        migrate("auth", database.owner_url)
        with tempfile.TemporaryDirectory(prefix="sc-bench-") as place, own_rabbit() as rabbit:
            directory = Path(place)
            trust = make_trust(directory / "keys", directory / "trust")
            async with revocation_stage(directory, trust, database, rabbit) as stage:
                connection = await asyncpg.connect(**asyncpg_arguments(database.owner_url))
                found = await measure(stage, Commits(connection), rounds, down_rounds)
                await connection.close()
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
