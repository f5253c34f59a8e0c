"""How often a name set is looked at. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

SLOWEST = 30.0
EAGER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`pending` seconds between looks at first, `steady` seconds once everything holds."""

    pending: float = 0.5
    steady: float = 300.0

    def next_look(self, *, settled: bool, waiting: timedelta, failed: float | None = None) -> timedelta:
        """`waiting`: since when something is awaited. `failed`: seconds that a provider asked us to wait."""
        if settled:
            return timedelta(seconds=self.steady * random.uniform(0.9, 1.1))  # noqa: S311 (spreads load, no secret)
        seconds = waiting.total_seconds()
        if seconds < EAGER_SECONDS:
            wait = self.pending if seconds < EAGER_SECONDS / 2 else self.pending * 2
        else:
            wait = min(SLOWEST, seconds / EAGER_SECONDS)
        return timedelta(seconds=max(wait, failed or 0.0))
