"""The API's rate limit: 1,200 calls in five minutes per token; whoever exceeds it is shut out for five minutes.

Source: https://developers.cloudflare.com/fundamentals/api/reference/limits/
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

WINDOW = 300.0
QUOTA = 1200


class RateLimit:
    """Calls per token in a sliding window. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], *, quota: int = QUOTA, window: float = WINDOW) -> None:
        self._monotonic = monotonic
        self._quota = quota
        self._window = window
        self._calls: dict[str, deque[float]] = {}
        self._blocked_until: dict[str, float] = {}

    def admit(self, token_id: str) -> int | None:
        """None when the call is let in, else the seconds to wait."""
        now = self._monotonic()
        until = self._blocked_until.get(token_id, 0.0)
        if now < until:
            return math.ceil(until - now)
        calls = self._calls.setdefault(token_id, deque())
        while calls and calls[0] <= now - self._window:
            calls.popleft()
        if len(calls) >= self._quota:
            self._blocked_until[token_id] = now + self._window
            return math.ceil(self._window)
        calls.append(now)
        return None

    def headers(self, token_id: str) -> dict[str, str]:
        """``Ratelimit`` and ``Ratelimit-Policy`` as sent since 2025-09."""
        calls = self._calls.get(token_id)
        left = self._quota - len(calls) if calls else self._quota
        reset = math.ceil(calls[0] + self._window - self._monotonic()) if calls else int(self._window)
        return {
            "Ratelimit": f'"default";r={max(left, 0)};t={max(reset, 0)}',
            "Ratelimit-Policy": f'"default";q={self._quota};w={int(self._window)}',
        }
