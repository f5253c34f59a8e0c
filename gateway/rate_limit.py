"""Token buckets per caller, and the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10).

Each gateway process counts for itself; the hard limit against floods is nginx's.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

WINDOW_SECONDS = 60
MAX_CALLERS = 50_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """`remaining` units are left; `reset` seconds until the bucket is full; `retry_after` seconds if refused."""

    allowed: bool
    policy: str
    quota: int
    remaining: int
    reset: int
    retry_after: int = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"ratelimit-policy", f'"{self.policy}";q={self.quota};w={WINDOW_SECONDS}'.encode()),
            (b"ratelimit", f'"{self.policy}";r={self.remaining};t={self.reset}'.encode()),
        ]
        if not self.allowed:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        return headers


class Buckets:
    """Buckets of one policy: `quota` units per minute, refilled evenly; the least recently seen are forgotten."""

    def __init__(self, policy: str, quota: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._quota = quota
        self._rate = quota / WINDOW_SECONDS
        self._monotonic = monotonic
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, caller: Hashable, cost: int) -> Verdict:
        now = self._monotonic()
        level, since = self._levels.pop(caller, (float(self._quota), now))
        level = min(self._quota, level + (now - since) * self._rate)
        allowed = level >= cost
        if allowed:
            level -= cost
        self._levels[caller] = (level, now)
        if len(self._levels) > MAX_CALLERS:
            self._levels.popitem(last=False)
        return Verdict(
            allowed=allowed,
            policy=self._policy,
            quota=self._quota,
            remaining=int(level),
            reset=math.ceil((self._quota - level) / self._rate),
            retry_after=0 if allowed else max(1, math.ceil((cost - level) / self._rate)),
        )
