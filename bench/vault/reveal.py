"""A single reveal beside the same request without decryption, one after the other in turn."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.vault.stage import Customer, process

ROUNDS, REQUESTS = 5, 200
MOST_RATIO = 3.0


def percentile(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Revealed:
    """Seconds of each request, a list for each round."""

    reveal: list[list[float]] = field(default_factory=list)
    without: list[list[float]] = field(default_factory=list)
    failed: int = 0

    def median(self, share: float) -> tuple[float, float, float]:
        """Of the rounds' percentiles: reveal, without decryption, and their ratio."""
        pairs = [
            (percentile(one, share), percentile(other, share))
            for one, other in zip(self.reveal, self.without, strict=True)
        ]
        return (
            statistics.median(one for one, _ in pairs),
            statistics.median(other for _, other in pairs),
            statistics.median(one / other for one, other in pairs),
        )

    def held(self) -> bool:
        return not self.failed and self.median(0.99)[2] <= MOST_RATIO

    def report(self) -> list[str]:
        rows = [f"single reveal, {ROUNDS} rounds of {REQUESTS}, medians; {self.failed} failed"]
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            one, other, ratio = self.median(share)
            rows.append(
                f"{name}: {one * 1000:.1f} ms, without decryption {other * 1000:.1f} ms: {ratio:.2f} x"
            )
        return rows


async def measure(customer: Customer, directory: Path) -> Revealed:
    found, stage = Revealed(), customer.stage
    socket = directory / "without.sock"
    async with (
        process(
            "shared.web.serve", "bench.vault.without_decryption", socket=socket,
            SC_DATABASE_URL=stage.database.app_url, **stage.environment,
        ),
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://vault", timeout=60
        ) as other,
    ):  # fmt: skip
        for _ in range(ROUNDS + 1):
            ours, theirs = [], []
            for number in range(REQUESTS):
                mailbox_id = customer.mailboxes[number % len(customer.mailboxes)]
                seconds, password = await reveal(stage.client, customer, mailbox_id)
                ours.append(seconds)
                found.failed += password != mailbox_id
                theirs.append((await reveal(other, customer, mailbox_id))[0])
            found.reveal.append(ours)
            found.without.append(theirs)
    del found.reveal[0], found.without[0]  # connections, caches
    return found


async def reveal(client: httpx.AsyncClient, customer: Customer, mailbox_id: str) -> tuple[float, str | None]:
    """Seconds, and the password if there was one."""
    path, headers = customer.path(f"/mailboxes/{mailbox_id}/reveal"), customer.headers("credentials.reveal")
    began = time.perf_counter()
    answer = await client.post(path, json={"reason": "bench"}, headers=headers)
    seconds = time.perf_counter() - began
    return seconds, answer.json().get("password")
