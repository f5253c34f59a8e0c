"""A token bucket: never more calls than a vendor allows, spread instead of refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class TokenBucket:
    """`burst` calls at once, then `calls` per `seconds`, evenly; so no window of that length sees more than both
    together. `hold` keeps everybody back for a while."""

    def __init__(
        self,
        calls: int,
        seconds: float,
        burst: int,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._capacity = float(burst)
        self._rate = calls / seconds
        self._now, self._sleep = now, sleep
        self._tokens = float(burst)
        self._filled_at = now()
        self._held_until = 0.0

    async def take(self) -> None:
        """Returns when one call may be made."""
        while True:
            wait = self._wait()
            if wait < 1e-6:  # below a clock's grain: waiting for it might never end
                self._tokens -= 1
                return
            await self._sleep(wait)

    def hold(self, seconds: float) -> None:
        """No call for `seconds`: the vendor said so."""
        self._held_until = max(self._held_until, self._now() + seconds)

    def _wait(self) -> float:
        now = self._now()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        missing = max(0.0, (1 - self._tokens) / self._rate)
        return max(missing, self._held_until - now)
