"""Keeps a long-running task alive: what ends by an error is logged and begun again after a growing pause."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

from prometheus_client import Counter

from shared.observability.logging import get_logger

RESTARTS = Counter("sc_task_restarts_total", "Background tasks begun again after a failure", ["task"])
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
STEADY_SECONDS = 30.0

_log = get_logger("supervise")


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleeps, but wakes as soon as `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def supervise(name: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Runs `work` until `stop` is set. After 30 steady seconds the pause is short again."""
    wait = FIRST_PAUSE
    while not stop.is_set():
        began = time.monotonic()
        try:
            await work()
            if stop.is_set():
                return
            _log.warning("task ended", task=name)
        except Exception as error:  # logged, counted, and begun again after at most ten seconds
            _log.warning(
                "task failed", task=name, kind=type(error).__name__, detail=str(error)[:300], exc_info=error
            )
        RESTARTS.labels(name).inc()
        wait = FIRST_PAUSE if time.monotonic() - began > STEADY_SECONDS else min(wait * 2, LONGEST_PAUSE)
        await pause(stop, wait * random.uniform(0.75, 1.25))  # noqa: S311 (spreads restarts, not a secret)
