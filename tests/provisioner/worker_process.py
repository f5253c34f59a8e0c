"""A worker of the reconciler alone, as a process that can be killed: `python -m tests.provisioner.worker_process FILE`.

FILE holds its settings as JSON; the outside world answers on the unix socket named there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from services.provisioner.reconciler import lease as leases
from services.provisioner.reconciler.engine import Dispatcher
from services.provisioner.settings import WorkerSettings
from shared.db.database import Database
from tests.provisioner.outside import Remote
from tests.provisioner.stage import engine_of, ports_of


async def run(given: dict[str, Any]) -> None:
    leases.IDLE_LIMIT_MS = given.pop("idle_limit_ms", leases.IDLE_LIMIT_MS)
    socket = Path(given.pop("outside"))
    owner = given.pop("owner")
    settings = WorkerSettings(**given)
    names = ("cloud", "host", "vault", "billing", "self_test")
    outside = SimpleNamespace(**{name: Remote(socket, name) for name in names})
    database = Database(settings.database_url.get_secret_value(), pool_size=4)
    engine = engine_of(database, ports_of(settings, outside), owner)
    await Dispatcher(engine, concurrency=2, poll_seconds=settings.poll_seconds).run()


if __name__ == "__main__":
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))
