"""The worker process: consumers, relay, and the watch over living servers' addresses."""

from __future__ import annotations

import asyncio

from services.reputation.bindings import BINDINGS
from services.reputation.monitor.service import Monitor
from services.reputation.settings import WorkerSettings
from services.reputation.wiring import build_resources
from shared.bus.worker import Periodic, run_worker
from shared.db.database import Database


async def main() -> None:
    settings = WorkerSettings()
    database = Database.from_settings(settings)
    resources = build_resources(settings)
    monitor = Monitor(database, resources)
    tasks = [
        Periodic(settings.tick_seconds, monitor.tick, "monitor"),
        Periodic(3600, monitor.forget, "forget old checks"),
    ]
    await run_worker(settings, BINDINGS, resources=resources, tasks=tasks, database=database)


if __name__ == "__main__":
    asyncio.run(main())
