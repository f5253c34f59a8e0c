"""Token buckets per caller, and the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-10).

Each gateway process counts for itself; the hard limit against floods is nginx's.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from shared.errors import TooManyRequests

WINDOW_SECONDS = 60
MAX_CALLERS = 50_000
STREAM_RETRY_SECONDS = 10


class Policy:
    """`quota` units a minute under a name, and the header that says so."""

    def __init__(self, name: str, quota: int) -> None:
        self.name = name.encode()
        self.quota = quota
        self.header = b'"%b";q=%d;w=%d' % (self.name, quota, WINDOW_SECONDS)
        self.lines = b'ratelimit-policy: %b\r\nratelimit: "%b";r=%%d;t=%%d\r\n' % (self.header, self.name)


class Verdict(NamedTuple):
    """`remaining` units are left; `reset` seconds until the bucket is full; `retry_after` seconds if refused."""

    allowed: bool
    policy: Policy
    remaining: int
    reset: int
    retry_after: int = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"ratelimit-policy", self.policy.header),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (self.policy.name, self.remaining, self.reset)),
        ]
        if not self.allowed:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        return headers

    def lines(self) -> bytes:
        """The same as they stand in an answer, when the request was allowed."""
        return self.policy.lines % (self.remaining, self.reset)


class Streams:
    """Streams that are open: each holds a connection to a service, so nobody may have all of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[Hashable] = Counter()

    @contextmanager
    def one(self, caller: Hashable) -> Iterator[None]:
        """Counts one more while it lasts. Raises TooManyRequests."""
        if self._open[caller] >= self._limit:
            raise TooManyRequests(
                f"{self._limit} streams are open already.",
                retry_after=STREAM_RETRY_SECONDS,
                next_action="Close one that is not needed any more.",
            )
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


class Buckets:
    """Buckets of one policy: `quota` units per minute, refilled evenly; the least recently seen are forgotten."""

    def __init__(self, policy: str, quota: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._policy = Policy(policy, quota)
        self._quota = quota
        self._rate = quota / WINDOW_SECONDS
        self._monotonic = monotonic
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, caller: Hashable, cost: int) -> Verdict:
        now = self._monotonic()
        found = self._levels.get(caller)
        level, since = found or (float(self._quota), now)
        level += (now - since) * self._rate
        if level > self._quota:
            level = self._quota
        allowed = level >= cost
        if allowed:
            level -= cost
        self._levels[caller] = (level, now)
        if found is not None:
            self._levels.move_to_end(caller)
        elif len(self._levels) > MAX_CALLERS:
            self._levels.popitem(last=False)
        retry_after = 0 if allowed else max(1, math.ceil((cost - level) / self._rate))
        reset = math.ceil((self._quota - level) / self._rate)
        return Verdict(allowed, self._policy, int(level), reset, retry_after)
