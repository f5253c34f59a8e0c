"""Take a stack down, or away altogether."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.local import processes
from infra.local.accounts import UIDS
from infra.local.stack import Stack
from sandbox.net import AddressRange, Namespace
from sandbox.net.cgroups import Cgroup


def down(stack: Stack) -> None:
    """Stops everything; finds it by pid file and control group, so a crash of whoever started it is no matter."""
    if not stack.layout.mounted() and not Cgroup(f"sc-{stack.layout.id}").exists():
        return
    stack.layout.bind()
    names = [row for row in _names(stack) if row not in ("sandbox", "postgres", "rabbitmq")]
    with stack.progress.step("nginx, gateway, services"), ThreadPoolExecutor(len(names) or 1) as pool:
        list(pool.map(lambda name: processes.stop(stack.layout, name), names))
    with stack.progress.step("the outside world (servers shut down cleanly)"):
        processes.stop(stack.layout, "sandbox", 60)
        # After a crash its servers and daemons still run; they are found by the namespace's name alone.
        asyncio.run(Namespace(stack.layout.id, AddressRange(0), stack.layout.sandbox / "run").down())
    with stack.progress.step("RabbitMQ and PostgreSQL"):
        stack.rabbit.stop()
        stack.postgres.stop()
    for left in Cgroup(f"sc-{stack.layout.id}").children():
        left.kill()
        processes.remove_group(left)
    processes.remove_group(Cgroup(f"sc-{stack.layout.id}"))
    stack.layout.unbind()


def _names(stack: Stack) -> list[str]:
    recorded = {file.name for file in stack.layout.pids.iterdir()} if stack.layout.pids.is_dir() else set()
    grouped = {Path(group.path).name for group in Cgroup(f"sc-{stack.layout.id}").children()}
    return sorted((recorded | grouped) & set(UIDS))


def clean(stack: Stack) -> None:
    """Down, then all that the stack made is removed."""
    down(stack)
    if stack.layout.var.exists():
        shutil.rmtree(stack.layout.var)
