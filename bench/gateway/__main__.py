"""`make bench-gateway`: the gateway beside its peers, in one bounded run on loopback.

The load generator and the service behind everything run on the first core, the variant under test on the second.
All variants stay up; rounds go through them in turn, so that what else the machine does meets all of them alike.
Ends with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.gateway.load import burst, write_script
from bench.gateway.processes import ROOT, Running, busy_seconds
from bench.gateway.report import Figure, Round, summarize, table
from bench.gateway.stage import build, service_servers
from bench.gateway.variants import services, variants

LOAD_CORE, TESTED_CORE = 0, 1
FIRST_PORT = 19200


def main() -> int:
    chosen = _arguments()
    missing = [name for name in ("wrk", "haproxy", "nginx", "taskset") if shutil.which(name) is None]
    if missing or (os.cpu_count() or 1) < 2:
        print(
            f"bench: needs two cores and {', '.join(missing) or 'no more'}; run scripts/setup bench",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="sc-bench-") as place, ExitStack() as stack:
        rounds = _rounds(chosen, Path(place), stack)
    summary = summarize(rounds)
    summary["run"] = {
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "connections": chosen.connections,
        "load_average": os.getloadavg(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    target = ROOT / "var/bench/gateway.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(summary, indent=2) + "\n")
    print(table(summary))
    print(f"\n{target.relative_to(ROOT)} has the figures.")
    return 0 if all(one["met"] for one in summary["targets"]) else 1


def _rounds(chosen: argparse.Namespace, place: Path, stack: ExitStack) -> list[Round]:
    stage = build(place)
    script = write_script(place)
    path, token = (place / "requests.txt").read_text().splitlines()[0].split()
    behind = Running(services(stage, service_servers(stage)), LOAD_CORE, place / "services.log")
    stack.callback(behind.stop)
    running = []
    for number, variant in enumerate(variants(stage, FIRST_PORT)):
        if chosen.only and not any(word in variant.name for word in chosen.only):
            continue
        one = Running(variant, TESTED_CORE, place / f"variant-{number}.log")
        stack.callback(one.stop)
        one.wait_for(path, token)
        running.append(one)
    rounds: list[Round] = []
    for number in range(chosen.rounds + 1):
        seen = {one.variant.name: _figure(one, behind, script, chosen) for one in running}
        print(
            f"round {number}" if number else "warm-up",
            *(f"{f.per_second:,.0f}" for f in seen.values()),
            flush=True,
        )
        if number:
            rounds.append(seen)
    return rounds


def _figure(one: Running, behind: Running, script: Path, chosen: argparse.Namespace) -> Figure:
    began, busy = time.monotonic(), busy_seconds()
    ours = one.cpu_seconds()
    around = behind.cpu_seconds() + _load_seconds()
    seen = burst(
        script, one.variant.port, core=LOAD_CORE, connections=chosen.connections, seconds=chosen.seconds
    )
    used = one.cpu_seconds() - ours
    around = behind.cpu_seconds() + _load_seconds() - around
    others = (busy_seconds() - busy - used - around) / (time.monotonic() - began)
    return Figure(seen.per_second, seen.p50, seen.p99, used / seen.requests * 1e6, others)


def _load_seconds() -> float:
    """CPU time of the load generators that have ended; the variants are still running."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", nargs="*", help="words of variants' names (for trying; targets need all)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
