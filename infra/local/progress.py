"""Progress lines of long work: what, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Prints one line per finished step, with seconds; `timings` keeps them."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.timings: dict[str, float] = {}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(title, time.monotonic() - started, "FAILED")
            raise
        self.timings[title] = time.monotonic() - started
        self.say(title, self.timings[title])

    def say(self, title: str, seconds: float, note: str = "") -> None:
        print(f"{self.topic:8} {seconds:6.1f} s  {title}{'  ' + note if note else ''}", flush=True)
