"""A station per test, on the module's broker and database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.bus.connection import connect
from shared.bus.topology import PARKED
from shared.bus.worker import Worker
from shared.db.database import Database
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabase
from tests.shared.bus import numbers
from tests.shared.bus.numbers import BINDINGS, QUEUE, Faults
from tests.shared.bus.station import Station, until


@pytest.fixture
async def station(rabbit: Rabbit, kit_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[Station]:
    await rabbit.declare(BINDINGS)
    settings = numbers.settings(kit_database.worker_url, rabbit.url("dns"), tmp_path / "s")
    database = Database(kit_database.worker_url)
    faults = Faults()
    worker = Worker(settings, BINDINGS, faults, (), database)
    running = asyncio.create_task(worker.run())

    async def ready() -> bool:
        return (await worker.ready())[0]

    await until(ready)
    yield Station(rabbit, database, worker, faults)
    worker.stop.set()
    await running
    connection = await connect(rabbit.operator_url, None, name="purge")
    channel = await connection.channel()
    for name in (QUEUE, QUEUE + PARKED):
        await (await channel.get_queue(name)).purge()
    await connection.close()
    await database.dispose()
