"""A circuit breaker: after repeated failures of a service, spare it and its callers for a moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

FAILURES = 5
WITHIN_SECONDS = 10.0
OPEN_SECONDS = 2.0


class Breaker:
    """Closed until five failures fall within ten seconds; then open for two; then one request may try.

    A success closes it, a failure opens it again. Only failures to get an answer count, not answers.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._opened_at: float | None = None
        self._probing = False

    @property
    def open(self) -> bool:
        return self._opened_at is not None

    def admit(self) -> bool:
        """Whether a request may be tried now."""
        if self._opened_at is None:
            return True
        if self._probing or self._monotonic() - self._opened_at < OPEN_SECONDS:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        if self._failures:
            self._failures.clear()
        self._opened_at = None
        self._probing = False

    def failed(self) -> None:
        now = self._monotonic()
        self._failures.append(now)
        crowded = len(self._failures) == FAILURES and now - self._failures[0] <= WITHIN_SECONDS
        if self._opened_at is not None or crowded:
            self._opened_at = now
        self._probing = False

    def abandoned(self) -> None:
        """The request that was to try went away before there was an outcome."""
        self._probing = False
