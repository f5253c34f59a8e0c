"""How fast a rotation goes, and what readers feel of it.

Readers reveal passwords over and over, for some seconds before the rotation and all through it. A read is right when it
gives the password that was stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bench.vault.reveal import percentile, reveal
from bench.vault.stage import ROOT, Customer

MOST_RATIO = 2.0


@dataclass
class Reads:
    """Seconds of each read, and how many were wrong."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0


@dataclass
class Rotated:
    secrets: int
    seconds: float
    done: dict[str, Any]
    readers: int
    before: Reads
    during: Reads

    @property
    def ratio(self) -> float:
        return percentile(self.during.seconds, 0.99) / percentile(self.before.seconds, 0.99)

    def held(self) -> bool:
        whole = self.done["secrets_rewrapped"] == self.secrets and not self.done["damaged"]
        return whole and not self.before.failed + self.during.failed and self.ratio <= MOST_RATIO

    def report(self) -> list[str]:
        done, before, during = self.done["secrets_rewrapped"], self.before.seconds, self.during.seconds
        rows = [
            f"rotation: {done:,} of {self.secrets:,} secrets rewrapped in {self.seconds:.0f} s: "
            f"{done / self.seconds:,.0f} rows/s",
            f"{self.readers} readers: {self.before.failed + self.during.failed} of {len(before) + len(during):,} "
            "reads failed",
        ]
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            one, other = percentile(before, share), percentile(during, share)
            rows.append(
                f"{name}: {one * 1000:.1f} ms before, {other * 1000:.1f} ms during: {other / one:.2f} x"
            )
        return rows


async def measure(customer: Customer, secrets: int, readers: int, before_seconds: float) -> Rotated:
    async with reading(customer, readers):
        await asyncio.sleep(2)  # connections and caches
    async with reading(customer, readers) as before:
        await asyncio.sleep(before_seconds)
    async with reading(customer, readers) as during:
        seconds, done = await rotate(customer)
    return Rotated(secrets, seconds, done, readers, before, during)


@contextlib.asynccontextmanager
async def reading(customer: Customer, count: int) -> AsyncIterator[Reads]:
    reads, ended = Reads(), asyncio.Event()

    async def read(turn: int) -> None:
        while not ended.is_set():
            mailbox_id, turn = customer.mailboxes[turn % len(customer.mailboxes)], turn + 7
            seconds, password = await reveal(customer.stage.client, customer, mailbox_id)
            reads.seconds.append(seconds)
            reads.failed += password != mailbox_id

    tasks = [asyncio.create_task(read(number)) for number in range(count)]
    try:
        yield reads
    finally:
        ended.set()
        await asyncio.gather(*tasks)


async def rotate(customer: Customer) -> tuple[float, dict[str, Any]]:
    """(seconds, report) of the command, its start included."""
    stage = customer.stage
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.vault.admin", "rotate", "--workspace", customer.id, "--new-key",
        cwd=ROOT, stdout=subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "SC_DATABASE_URL": stage.database.worker_url,
            "SC_SOCKET": "/nonexistent/socket",
            "SC_LOG_LEVEL": "WARNING",
            **stage.environment,
        },
    )  # fmt: skip
    printed, _ = await process.communicate()
    return time.perf_counter() - began, json.loads(printed)
