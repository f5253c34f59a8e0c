"""Places where a fault test may end the process as a power cut would.

A no-op unless `SC_CRASHPOINT` names the place (`name` dies at the first visit, `name:3` at the third), or a test
watches the places that the code of its context comes through.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextvars import ContextVar

watcher: ContextVar[Callable[[str], None] | None] = ContextVar("crashpoint_watcher", default=None)
_visits: dict[str, int] = {}


def crashpoint(name: str) -> None:
    watching = watcher.get()
    if watching is not None:
        watching(name)
    wanted = os.environ.get("SC_CRASHPOINT")
    if not wanted:
        return
    place, _, count = wanted.partition(":")
    if place != name:
        return
    _visits[name] = _visits.get(name, 0) + 1
    if _visits[name] >= int(count or "1"):
        die()


def die() -> None:
    """Ends the process at once, as nothing can be caught or tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
