"""Start, find and stop the processes of a stack.

Each has a pid file and a control group of its own, `sc-<id>/<name>`; whoever starts the stack may crash, the
group still tells which processes are its.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.accounts import Account
from infra.local.layout import Layout
from sandbox.net.cgroups import Cgroup


class ProcessFailed(RuntimeError):
    """A process ended while starting, or did not become ready; the text holds the end of its log."""


@dataclass(frozen=True)
class Process:
    """What to run. `ready` is a socket path whose appearance, answered by `/readyz`, means it works."""

    name: str
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    account: Account | None = None
    socket: Path | None = None


def log_of(layout: Layout, name: str) -> Path:
    return layout.logs / f"{name}.log"


def group_of(layout: Layout, name: str) -> Cgroup:
    return Cgroup(f"sc-{layout.id}/{name}")


def alive(layout: Layout, name: str) -> bool:
    pid = _recorded(layout, name)
    return pid is not None and pid in group_of(layout, name).pids()


def _recorded(layout: Layout, name: str) -> int | None:
    try:
        return int((layout.pids / name).read_text())
    except (OSError, ValueError):
        return None


def start(layout: Layout, process: Process) -> None:
    """Starts it unless it runs. Its environment is exactly what is given, plus PATH and LANG."""
    if alive(layout, process.name):
        return
    group = group_of(layout, process.name)
    group.create()
    argv = process.account.command(process.argv) if process.account else process.argv
    with log_of(layout, process.name).open("ab") as log:
        started = subprocess.Popen(
            group.joining(argv),
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
                "HOME": "/nonexistent",
                "LOGNAME": process.name,  # the uid has no name in passwd, and some libraries ask
                **process.environment,
            },
            cwd=layout.mount,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (layout.pids / process.name).write_text(str(started.pid))


def stop(layout: Layout, name: str, seconds: float = 15) -> None:
    """SIGTERM to the recorded process; after `seconds` the whole group is killed."""
    group = group_of(layout, name)
    pid = _recorded(layout, name)
    if pid is not None and pid in group.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while _running(group) and time.monotonic() < deadline:
            time.sleep(0.05)
    deadline = time.monotonic() + 5
    while _running(group) and time.monotonic() < deadline:
        group.kill()
        time.sleep(0.05)
    (layout.pids / name).unlink(missing_ok=True)
    remove_group(group)


def _running(group: Cgroup) -> set[int]:
    """Processes of the group that are more than a zombie; children of ours are reaped on the way."""
    running = set()
    for pid in group.pids():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                running.add(pid)
    return running


def remove_group(group: Cgroup) -> None:
    """Removes the group's directories, deepest first; the kernel says busy for a moment after the last exit."""
    for _ in range(40):
        left = False
        for directory in group.directories:
            for entry in sorted(directory.glob("**/"), key=lambda path: -len(path.parts)):
                with contextlib.suppress(OSError):
                    entry.rmdir()
            left = left or directory.is_dir()
        if not left:
            return
        time.sleep(0.05)


def tail(layout: Layout, name: str, lines: int = 15) -> str:
    """The end of the process's log, for an error message."""
    try:
        text = log_of(layout, name).read_text(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
