"""The provisioner's worker: relay, event handlers, the reconciler, the payment inbox, the sweeper."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg

from services.provisioner.billing.dunning import Dunning
from services.provisioner.billing.holds import Holds
from services.provisioner.billing.inbox import Inbox
from services.provisioner.billing.refunds import Refunds
from services.provisioner.billing.repository import CHANNEL as STRIPE_CHANNEL
from services.provisioner.billing.service import ask_about_old_pages
from services.provisioner.bindings import BINDINGS
from services.provisioner.jobs import timings
from services.provisioner.operators.endpoints import serving
from services.provisioner.reconciler.engine import Dispatcher
from services.provisioner.reconciler.lease import CHANNEL
from services.provisioner.reconciler.plan import ABSENT, PRESENT, check
from services.provisioner.regions.observer import Offers
from services.provisioner.settings import WorkerSettings
from services.provisioner.subscriptions.service import forget_intents
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from services.provisioner.wiring import WorkerResources, worker_resources
from shared.bus.relay import asyncpg_arguments
from shared.bus.worker import Background, Periodic, Task, run_worker
from shared.db.database import Database
from shared.observability.logging import get_logger

_log = get_logger("worker")


def tasks_of(settings: WorkerSettings, resources: WorkerResources) -> list[Task]:
    dispatcher = Dispatcher(
        resources.engine, concurrency=settings.concurrency, poll_seconds=settings.poll_seconds
    )
    inbox = Inbox(resources.database, resources.ports.billing, settings.platform_zone)
    dunning = Dunning(resources.database, resources.ports.catalogue, resources.ports.clock)
    refunds = Refunds(resources.database, resources.ports.billing)
    holds = Holds(resources.database, resources.ports.billing)
    offers = Offers(resources.database, resources.ports.cloud, resources.ports.catalogue)
    sweeper = Sweeper(
        PostgresFindings(resources.database), resources.ports.cloud, settings, resources.ports.catalogue
    )
    paid = asyncio.Event()
    tasks: list[Task] = [
        Background(dispatcher.run, name="reconciler"),
        Background(
            _listening(settings, {CHANNEL: dispatcher.nudge, STRIPE_CHANNEL: paid.set}), name="listen"
        ),
        Background(_inbox(inbox, paid), name="payments"),
        Periodic(settings.sweep_seconds, sweeper.run, name="sweeper"),
        Periodic(settings.refunds_seconds, refunds.run, name="refunds"),
        Periodic(settings.refunds_seconds, holds.run, name="holds"),
        Periodic(settings.dunning_seconds, dunning.run, name="dunning"),
        Periodic(3600.0, partial(forget_intents, resources.database), name="intents"),
        Periodic(3600.0, partial(ask_about_old_pages, resources.database), name="pages"),
        Periodic(settings.compare_seconds, resources.comparison.run_if_due, name="comparison"),
        Periodic(settings.prices_seconds, resources.prices.run, name="prices"),
        Periodic(settings.timings_seconds, lambda: timings.collect(resources.database), name="timings"),
        Periodic(settings.offers_seconds, offers.run, name="offers"),
    ]
    if settings.operator_socket is not None:
        tasks.append(Background(serving(resources.database, settings.operator_socket), name="operators"))
    return tasks


def _inbox(inbox: Inbox, nudge: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        while True:
            nudge.clear()
            while await inbox.work_once():
                pass
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(nudge.wait(), 1.0)

    return run


def _listening(
    settings: WorkerSettings, channels: dict[str, Callable[[], None]]
) -> Callable[[], Awaitable[None]]:
    """Wakes the others at once; should it fail, their polls go on."""

    async def run() -> None:
        connection = await asyncpg.connect(**asyncpg_arguments(settings.direct_url().get_secret_value()))
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel, call in channels.items():
                await connection.add_listener(channel, lambda *_, call=call: call())
            await lost.wait()
        finally:
            await connection.close(timeout=2)

    return run


def main() -> None:
    check(PRESENT)
    check(ABSENT)
    settings = WorkerSettings()

    async def run() -> None:
        database = Database.from_settings(settings)
        resources = worker_resources(settings, database)
        await run_worker(
            settings, BINDINGS, resources=resources, tasks=tasks_of(settings, resources), database=database
        )

    asyncio.run(run())


if __name__ == "__main__":
    main()
