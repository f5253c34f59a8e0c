"""When is something up: its own readiness answers, or its end is reported with the last lines of its log."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

import httpx

from infra.local import processes
from infra.local.processes import Process, ProcessFailed
from infra.local.stack import Stack

READY_SECONDS = 60


async def await_ready(stack: Stack, process: Process) -> None:
    assert process.socket is not None
    transport = httpx.AsyncHTTPTransport(uds=str(process.socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://local", timeout=2) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.HTTPError:
                return False

        await until(stack, process.name, ready, READY_SECONDS)


async def await_public(stack: Stack) -> None:
    context = ssl.create_default_context(cafile=stack.ca_file)
    async with httpx.AsyncClient(verify=context, base_url=stack.public_url, timeout=2) as client:

        async def answers() -> bool:
            try:
                return (await client.get("/healthz")).status_code == 200
            except httpx.HTTPError:
                return False

        await until(stack, "nginx", answers, READY_SECONDS)


async def until(stack: Stack, name: str, ready: Any, seconds: float) -> None:
    """Waits for `ready()`, which may be a coroutine function; a process that ended is an error at once."""
    deadline = time.monotonic() + seconds
    while True:
        found = ready()
        if await found if asyncio.iscoroutine(found) else found:
            return
        if not processes.alive(stack.layout, name):
            raise ProcessFailed(f"{name} ended while starting:\n{processes.tail(stack.layout, name)}")
        if time.monotonic() > deadline:
            raise ProcessFailed(
                f"{name} was not ready within {seconds:.0f} s:\n{processes.tail(stack.layout, name)}"
            )
        await asyncio.sleep(0.1)
