"""An event loop whose time is a number: when nothing can run, it jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class _Jumping(selectors.DefaultSelector):
    """Looks for input without waiting. While `busy` it waits for real (a database is at work), else time jumps."""

    jump: Callable[[float], None]
    busy: Callable[[], bool]

    def select(self, timeout: float | None = None) -> Any:
        if self.busy():
            return super().select(0 if timeout == 0 else 0.005)
        if timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        if timeout > 0:
            self.jump(timeout)
        return ()


class VirtualLoop(asyncio.SelectorEventLoop):
    """`busy` tells whether somebody outside of the loop is at work for it."""

    def __init__(self, busy: Callable[[], bool] | None = None) -> None:
        self._seconds = 0.0
        selector = _Jumping()
        super().__init__(selector)
        selector.jump = self._jump
        selector.busy = busy or (lambda: False)

    def time(self) -> float:
        return self._seconds

    def _jump(self, seconds: float) -> None:
        self._seconds += seconds
