"""`make bench-provisioner`: what the reconciler can carry, and what it costs while nothing happens.

PostgreSQL, RabbitMQ and the workers are real and whole; clouds, hosts and the other services answer at once, in the
bench's own process. Part one builds servers with one, two and four workers. Part two leaves a fleet alone with one
worker, beside a fleet of one server: the difference is what servers cost. Ends with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.provisioner.building import HEAD, MINIMUM, Built, build
from bench.provisioner.idle import Idle, idle
from bench.provisioner.stage import bench, counted
from services.provisioner.settings import WorkerSettings
from tests.fixtures import run
from tests.fixtures.bus import Rabbit, own_rabbit
from tests.fixtures.database import Postgres, make_roles
from tests.fixtures.identity import Trust, make_trust

ROOT = Path(__file__).parents[2]
MOST_CALLS, MOST_CORES, MOST_QUERIES = 1.2, 0.05, 20.0
# As in production, but for the quiet window, which no step of the happy path waits for, and part one's polls.
SETTINGS: dict[str, Any] = {
    "lease_seconds": 30.0,
    "lease_margin_seconds": 2.0,
    "scaleway_timeout": 10.0,
    "poll_seconds": 0.3,
    "backoff_cap": 600.0,
    "sweep_quarantine_seconds": 600.0,
}


@asynccontextmanager
async def world(directory: Path) -> Any:
    """A cluster and a broker of the run's own."""
    cluster = run.cluster()
    try:
        cluster.start()
        run.claim()
        postgres = Postgres(cluster, "bench")
        make_roles(postgres)
        counted(postgres)
        with own_rabbit() as rabbit:
            yield postgres, rabbit, make_trust(directory / "keys", directory / "trust")
    finally:
        cluster.stop("immediate")
        run.end()


async def part_one(
    place: Path, postgres: Postgres, rabbit: Rabbit, trust: Trust, servers: int, counts: Iterable[int]
) -> list[Built]:
    found = []
    print(f"{servers:,} servers from paid to ready\n\n{HEAD}", flush=True)
    for count in counts:
        async with bench(folder(place, f"build{count}"), postgres, rabbit, trust, count, **SETTINGS) as one:
            found.append(await build(one, servers))
            print(found[-1].row(), flush=True)
        if found[-1].waiting:
            print(
                f"\nstood still with {found[-1].ready:,} ready: {'; '.join(found[-1].waiting)}\n", flush=True
            )
    print(f"\ncalls beyond the least of {sum(MINIMUM.values())}, a server:")
    for built in found:
        many = {
            name: round(calls / servers - MINIMUM.get(name, 0), 2)
            for name, calls in sorted(built.calls.items())
            if calls > servers * MINIMUM.get(name, 0)
        }
        print(f"{built.workers} workers: {many}")
    return found


async def part_two(
    place: Path, postgres: Postgres, rabbit: Rabbit, trust: Trust, fleets: Iterable[int], seconds: float
) -> list[Idle]:
    found = []
    print(
        "\n| idle servers | queries/s | worker's share of a core | passes/s |\n|---|---|---|---|", flush=True
    )
    for servers in fleets:
        settings = {**SETTINGS, **{name: production(name) for name in ("recheck_seconds", "poll_seconds")}}
        async with bench(folder(place, f"idle{servers}"), postgres, rabbit, trust, 1, **settings) as one:
            seen = await idle(one, servers, seconds)
        found.append(seen)
        print(
            f"| {servers:,} | {seen.queries_a_second:.1f} | {seen.cores:.1%} | {seen.passes / seen.seconds:.2f} |"
        )
    print("\n" + "\n".join(found[-1].commonest))
    return found


def folder(place: Path, name: str) -> Path:
    made = place / name
    made.mkdir()
    return made


def production(name: str) -> Any:
    return WorkerSettings.model_fields[name].default


def judge(built: list[Built], left: list[Idle]) -> bool:
    rows = []
    if built:
        unready = sum(one.servers - one.ready for one in built)
        rows.append(("servers that did not get ready", float(unready), 0.0))
        rows.append(("cloud calls a server, by the least", max(one.ratio for one in built), MOST_CALLS))
    if left:
        rows.append((f"share of a core, {left[-1].servers:,} idle servers", left[-1].cores, MOST_CORES))
        rows.append(
            (f"queries/s, {left[-1].servers:,} idle servers", left[-1].queries_a_second, MOST_QUERIES)
        )
    print()
    for name, seen, most in rows:
        print(f"{'met   ' if seen <= most else 'MISSED'} {name}: {seen:.3g}, target <= {most:g}")
    return all(seen <= most for _, seen, most in rows)


async def main(chosen: argparse.Namespace) -> int:
    run.begin()
    with tempfile.TemporaryDirectory(prefix="sc-bench-") as name:
        place = Path(name)
        async with world(place) as (postgres, rabbit, trust):
            built = (
                await part_one(place, postgres, rabbit, trust, chosen.servers, chosen.workers)
                if chosen.servers
                else []
            )
            left = (
                await part_two(place, postgres, rabbit, trust, (1, chosen.fleet), chosen.seconds)
                if chosen.fleet
                else []
            )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    target = ROOT / "var/bench/provisioner.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        json.dumps({"built": [asdict(one) for one in built], "idle": [asdict(one) for one in left]}, indent=2)
        + "\n"
    )
    return 0 if judge(built, left) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.provisioner", description=__doc__)
    parser.add_argument("--servers", type=int, default=1000, help="for part one; 0 leaves it out")
    parser.add_argument(
        "--workers", type=lambda text: [int(one) for one in text.split(",")], default=[1, 2, 4]
    )
    parser.add_argument("--fleet", type=int, default=10_000, help="for part two; 0 leaves it out")
    parser.add_argument("--seconds", type=float, default=60, help="how long the idle fleets are watched")
    sys.exit(asyncio.run(main(parser.parse_args())))
