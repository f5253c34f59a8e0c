"""A worker of the reconciler alone, as a process that can be killed.

The outside world answers on the unix socket named in the worker's settings. Processes are forked from one that has
imported everything already: a kill at each of a hundred places should not pay for as many starts of Python.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from services.provisioner.adoption.service import Adoption, Order
from services.provisioner.billing.inbox import Inbox
from services.provisioner.billing.refunds import Refunds
from services.provisioner.reconciler import lease as leases
from services.provisioner.reconciler.engine import Dispatcher
from services.provisioner.settings import WorkerSettings
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from shared.crashpoint import die, watcher
from shared.db.database import Database
from tests.provisioner.outside.world import Remote
from tests.provisioner.stage import engine_of, ports_of

_context: ForkServerContext = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def start(settings: Path, log: Path, crashpoint: str = "") -> BaseProcess:
    """A new worker. `crashpoint` is where it dies; its output goes to `log`."""
    process = _context.Process(target=_main, args=(settings, log, crashpoint), daemon=True)
    process.start()
    return process


def _main(settings: Path, log: Path, crashpoint: str) -> None:
    os.environ["SC_CRASHPOINT"] = crashpoint
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    asyncio.run(_run(json.loads(settings.read_text())))


class _Mortal:
    """Dies at the first place at which no worker has died before; `deaths` remembers them, a line each."""

    def __init__(self, deaths: Path) -> None:
        self._deaths = deaths
        self._survived = set(deaths.read_text().split())

    def __call__(self, name: str) -> None:
        if name not in self._survived:
            with self._deaths.open("a") as file:
                file.write(f"{name}\n")
            die()


async def _run(given: dict[str, Any]) -> None:
    leases.IDLE_LIMIT_MS = given.pop("idle_limit_ms", leases.IDLE_LIMIT_MS)
    socket = Path(given.pop("outside"))
    owner = given.pop("owner")
    sweeps, pays = given.pop("sweeps", False), given.pop("pays", False)
    adopts = given.pop("adopts", None)
    if deaths := given.pop("deaths", None):
        watcher.set(_Mortal(Path(deaths)))
    settings = WorkerSettings(**given)
    names = ("cloud", "host", "vault", "billing", "self_test")
    outside = SimpleNamespace(**{name: Remote(socket, name) for name in names})
    database = Database(settings.database_url.get_secret_value(), pool_size=4)
    ports = ports_of(settings, outside)
    dispatcher = Dispatcher(
        engine_of(database, ports, owner), concurrency=2, poll_seconds=settings.poll_seconds
    )
    if adopts is not None:
        await Adoption(database, ports).carry_out(Order(**adopts))
        return
    if pays:
        await _pay(Inbox(database, ports.billing, settings.platform_zone), Refunds(database, ports.billing))
    if not sweeps:
        await dispatcher.run()
        return
    sweeper = Sweeper(PostgresFindings(database), ports.cloud, settings, ports.catalogue)
    while True:
        await sweeper.run()
        await asyncio.sleep(settings.poll_seconds)


async def _pay(inbox: Inbox, refunds: Refunds) -> None:
    while True:
        await inbox.work_once()
        await refunds.work_once()
        await asyncio.sleep(0.05)
