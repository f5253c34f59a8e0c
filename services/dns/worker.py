"""`python -m services.dns.worker`: writes names, proves zones, looks at everything, relays events."""

from __future__ import annotations

import asyncio

from services.dns.bindings import BINDINGS
from services.dns.settings import WorkerSettings
from services.dns.wiring import build_resources
from shared.bus.worker import Periodic, run_worker


def main() -> None:
    settings = WorkerSettings()
    resources = build_resources(settings)
    tasks = [
        Periodic(settings.poll_seconds, resources.namesets.turn, "names"),
        Periodic(settings.poll_seconds, resources.zones.turn, "zones"),
        Periodic(0.5, resources.finish_workspaces, "workspaces"),
    ]
    asyncio.run(run_worker(settings, BINDINGS, resources=resources, tasks=tasks, database=resources.database))


if __name__ == "__main__":
    main()
