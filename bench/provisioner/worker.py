"""The provisioner's worker, whole, before a world that answers at once: `python -m bench.provisioner.worker FILE`.

FILE holds its settings as JSON, the unix socket of that world, and the worker's name. Everything that costs while
nothing happens is in it: relay, consumers, reconciler, payments, dunning, sweeper, health server; but for two looks at
the payment provider's books, one every five minutes and one a night.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from services.provisioner.bindings import BINDINGS
from services.provisioner.settings import WorkerSettings
from services.provisioner.wiring import WorkerResources
from services.provisioner.worker import tasks_of
from shared.bus.worker import run_worker
from shared.db.database import Database
from tests.provisioner.outside.world import Remote
from tests.provisioner.stage import engine_of, ports_of

PORTS = ("cloud", "host", "vault", "billing", "self_test")


async def nothing() -> None:
    return None


async def run(given: dict[str, Any]) -> None:
    socket, owner = Path(given.pop("outside")), given.pop("owner")
    settings = WorkerSettings(**given)
    database = Database.from_settings(settings)
    ports = ports_of(settings, SimpleNamespace(**{name: Remote(socket, name) for name in PORTS}))
    # Only what the tasks use: there are no connections to vendors that would have to be closed.
    left_out = SimpleNamespace(run=nothing, run_if_due=nothing)
    resources = cast(
        WorkerResources,
        SimpleNamespace(
            settings=settings,
            database=database,
            ports=ports,
            engine=engine_of(database, ports, owner),
            prices=left_out,
            comparison=left_out,
        ),
    )
    await run_worker(
        settings, BINDINGS, resources=None, tasks=tasks_of(settings, resources), database=database
    )


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))
