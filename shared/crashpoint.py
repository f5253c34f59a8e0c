"""Places where a fault test may end the process as a power cut would.

A no-op unless `SC_CRASHPOINT` names the place: `name` dies at the first visit, `name:3` at the third.
"""

from __future__ import annotations

import os
import signal

_visits: dict[str, int] = {}


def crashpoint(name: str) -> None:
    wanted = os.environ.get("SC_CRASHPOINT")
    if not wanted:
        return
    place, _, count = wanted.partition(":")
    if place != name:
        return
    _visits[name] = _visits.get(name, 0) + 1
    if _visits[name] >= int(count or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
