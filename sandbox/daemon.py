"""Waiting for a daemon of the sandbox to answer, and saying why when it does not."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from pathlib import Path


class DaemonFailed(RuntimeError):
    """A daemon ended or did not answer in time; the message has the end of its log."""


async def until_ready(
    name: str,
    process: Process,
    log: Path,
    probe: Callable[[], Awaitable[bool]],
    *,
    seconds: float = 15.0,
) -> None:
    """Poll `probe` until it is true. Raises DaemonFailed when the process ends or `seconds` pass."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        if process.returncode is not None:
            raise DaemonFailed(f"{name} ended with status {process.returncode}: {_tail(log)}")
        if await probe():
            return
        if asyncio.get_running_loop().time() > deadline:
            raise DaemonFailed(f"{name} did not answer within {seconds:g} s: {_tail(log)}")
        await asyncio.sleep(0.02)


def _tail(log: Path) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return f"see {log}; it ends with: {text[-600:].strip() or '(nothing)'}"
