"""How long to wait after a failure, by its class: full jitter between a floor and a doubling ceiling.

Full jitter (uniform below the ceiling) spreads a fleet that failed together better than any fixed schedule.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """Seconds: the first ceiling, and the highest."""

    base: float
    cap: float


CURVES = {
    "busy": Curve(0.5, 10.0),
    "not_resolving_yet": Curve(1.0, 5.0),
    "unavailable": Curve(1.0, 60.0),
    "rate_limited": Curve(2.0, 120.0),
    "host_unreachable": Curve(0.5, 15.0),
    "host_refused": Curve(1.0, 120.0),
    "host_command": Curve(1.0, 120.0),
    "vault": Curve(0.5, 30.0),
    "payment": Curve(2.0, 300.0),
    "self_test": Curve(1.0, 60.0),
    "certificate": Curve(1.0, 120.0),
    "out_of_stock": Curve(30.0, 600.0),
}


class Backoff:
    """`base` and `cap` serve the classes that are not listed above, and `cap` bounds all."""

    def __init__(self, base: float = 2.0, cap: float = 600.0, source: random.Random | None = None) -> None:
        self._default = Curve(base, cap)
        self._source = source or random.SystemRandom()

    def seconds(self, error_class: str, failures: int) -> float:
        """The pause after the `failures`-th failure in a row (1 = the first)."""
        curve = CURVES.get(error_class, self._default)
        ceiling = min(curve.base * 2 ** min(max(failures, 1) - 1, 20), curve.cap, self._default.cap)
        return self._source.uniform(ceiling * 0.1, ceiling)
