"""`make bench-vault`: a streamed export beside a bare loop, a reveal beside one that decrypts nothing, and a rotation
with readers.

PostgreSQL, the key service, the API and the rotation are processes as in a stack, all on this machine with what asks
them. Ends with 1 when an answer was wrong or a target was missed. `--quick` is for a look: its figures are no result.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

from bench.vault import export, reveal, rotation
from bench.vault.stage import ROOT, Customer, Stage, stage
from tests.fixtures import run
from tests.fixtures.database import Postgres, make_roles

MAILBOXES = 1000
PARTS = ("export", "reveal", "rotation")


class Found(Protocol):
    def held(self) -> bool: ...

    def report(self) -> list[str]: ...


async def filled(one: Stage, secrets: int, mailboxes: int) -> Customer:
    began = time.perf_counter()
    customer = await one.customer(secrets, mailboxes)
    print(f"  {secrets:,} secrets stored in {time.perf_counter() - began:.0f} s", flush=True)
    return customer


async def measure(one: Stage, place: Path, chosen: argparse.Namespace) -> dict[str, Found]:
    found: dict[str, Found] = {}
    if "export" in chosen.parts:
        few = await filled(one, export.FEW, export.FEW)
        found["export"] = await export.measure(few, await filled(one, chosen.exported, chosen.exported))
    if "reveal" in chosen.parts:
        found["reveal"] = await reveal.measure(await filled(one, MAILBOXES, MAILBOXES), place)
    if "rotation" in chosen.parts:
        customer = await filled(one, chosen.secrets, min(MAILBOXES, chosen.secrets))
        found["rotation"] = await rotation.measure(customer, chosen.secrets, chosen.readers, chosen.before)
    return found


async def main(chosen: argparse.Namespace) -> int:
    run.begin()
    cluster = run.cluster()
    try:
        cluster.start()
        run.claim()
        postgres = Postgres(cluster, "bench")
        make_roles(postgres)
        with tempfile.TemporaryDirectory(prefix="sc-bench-") as place:
            async with stage(Path(place), postgres) as one:
                found = await measure(one, Path(place), chosen)
    finally:
        cluster.stop("immediate")
        run.end()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for part in found.values():
        print("\n".join(part.report()), "" if part.held() else "  TARGET MISSED", sep="\n")
    target = ROOT / "var/bench/vault.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    report = {name: dataclasses.asdict(part) for name, part in found.items()}  # type: ignore[call-overload]
    target.write_text(json.dumps(report | {"load_average": os.getloadavg()}) + "\n")
    return 0 if all(part.held() for part in found.values()) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.vault", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of all sizes")
    parser.add_argument("--exported", type=int, default=100_000, help="credentials in the large export")
    parser.add_argument("--secrets", type=int, default=1_000_000, help="secrets to be rewrapped")
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--before", type=float, default=20, metavar="SECONDS")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    given.parts = given.parts or PARTS
    if given.quick:
        given.exported, given.secrets, given.before = (
            given.exported // 10,
            given.secrets // 10,
            given.before / 4,
        )
    sys.exit(asyncio.run(main(given)))
