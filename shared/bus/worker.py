"""The worker process of a service: relay, consumers, periodic and background tasks, health server.

    asyncio.run(run_worker(settings, BINDINGS, resources=build_resources(settings), tasks=[Periodic(5, tick)]))

SIGTERM stops taking messages, lets handlers at work finish, then ends. A broken part is begun again on its own; the
others go on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.bus.binding import Binding, by_queue
from shared.bus.consumer import QueueConsumer
from shared.bus.housekeeping import PERIOD_SECONDS, sweep
from shared.bus.relay import Relay
from shared.bus.supervise import pause, supervise
from shared.db.database import Database
from shared.observability.logging import configure_logging, get_logger
from shared.settings import ServiceSettings
from shared.web.health import run_checks
from shared.web.serve import Server, listen

_log = get_logger("worker")


@dataclass(frozen=True)
class Periodic:
    """`run` is called without arguments, and again `seconds` after it has returned or failed."""

    seconds: float
    run: Callable[[], Awaitable[Any]]
    name: str = ""


@dataclass(frozen=True)
class Background:
    """`run` is called without arguments once and goes on for the life of the worker; begun again if it ends."""

    run: Callable[[], Awaitable[Any]]
    name: str = ""


Task = Periodic | Background


def task_name(task: Task) -> str:
    return task.name or getattr(task.run, "__qualname__", type(task).__name__)


class Worker:
    """All parts of one worker. `ready` says whether its dependencies answer and its queues are being read."""

    def __init__(
        self,
        settings: ServiceSettings,
        bindings: tuple[Binding, ...],
        resources: Any,
        tasks: Sequence[Task],
        database: Database,
    ) -> None:
        self.stop = asyncio.Event()
        self._settings = settings
        self._database = database
        self._tasks = tasks
        self._relay = Relay(settings, self.stop)
        self._consumers = [
            QueueConsumer(settings, database, queue, types, resources, self.stop)
            for queue, types in by_queue(bindings).items()
        ]

    async def run(self) -> None:
        """Works until `stop` is set."""
        parts = [asyncio.create_task(supervise("relay", self._relay.run, self.stop), name="relay")]
        for consumer in self._consumers:
            name = f"consumer {consumer.queue}"
            parts.append(asyncio.create_task(supervise(name, consumer.run, self.stop), name=name))
        housekeeping = Periodic(PERIOD_SECONDS, lambda: sweep(self._database), "housekeeping")
        for task in (*self._tasks, housekeeping):
            name = task_name(task)
            work = self._repeat(task, name) if isinstance(task, Periodic) else task.run
            parts.append(asyncio.create_task(supervise(name, work, self.stop), name=name))
        await self.stop.wait()
        _, late = await asyncio.wait(parts, timeout=self._settings.shutdown_seconds)
        for part in late:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)

    def _repeat(self, task: Periodic, name: str) -> Callable[[], Awaitable[None]]:
        async def loop() -> None:
            while not self.stop.is_set():
                try:
                    await task.run()
                except Exception as error:  # logged; the next turn comes after the same pause
                    _log.error("periodic task failed", task=name, exc_info=error)
                await pause(self.stop, task.seconds)

        return loop

    async def ready(self) -> tuple[bool, dict[str, str]]:
        async def consuming() -> None:
            if not all(consumer.consuming for consumer in self._consumers):
                raise ConnectionError("a queue is not being read")

        return await run_checks({"database": self._database.ping, "queues": consuming})

    def health_app(self) -> Starlette:
        async def healthz(_: Request) -> Response:
            return JSONResponse({"status": "ok"})

        async def readyz(_: Request) -> Response:
            ready, checks = await self.ready()
            return JSONResponse({"ready": ready, "checks": checks}, status_code=200 if ready else 503)

        async def metrics(_: Request) -> Response:
            return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

        return Starlette(
            routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
        )


async def run_worker(
    settings: ServiceSettings,
    bindings: Sequence[Binding],
    *,
    resources: Any = None,
    tasks: Sequence[Task] = (),
    database: Database | None = None,
) -> None:
    """Runs the worker until SIGTERM or SIGINT. `resources.aclose()` is awaited at the end, when there is one."""
    configure_logging(settings.service, settings.log_level, settings.role)
    base = database or Database.from_settings(settings)
    worker = Worker(settings, tuple(bindings), resources, tasks, base)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop.set)
    listener = listen(settings.socket, settings.socket_mode)
    server = Server(
        uvicorn.Config(
            worker.health_app(), log_config=None, access_log=False, lifespan="off", server_header=False
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    _log.info("worker started", queues=sorted({binding.queue for binding in bindings}))
    try:
        await worker.run()
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=5)
        close = getattr(resources, "aclose", None)
        if close is not None:
            await close()
        await base.dispose()
        settings.socket.unlink(missing_ok=True)
        _log.info("worker stopped")
