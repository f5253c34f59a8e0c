"""What a worker outlives: connections and sessions that are ended under it, tasks that fail."""

import asyncio
import contextlib
from pathlib import Path

from shared.bus.worker import Background, Periodic, Worker
from shared.db.database import Database
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabase
from tests.shared.bus import numbers
from tests.shared.bus.station import Station, until


async def test_consumer_and_relay_come_back_after_their_connections_were_closed(
    station: Station, rabbit: Rabbit
) -> None:
    first = await station.emit(13)
    await until(lambda: station.effects(first))
    rabbit.node.control("close_all_connections", "--vhost", rabbit.vhost, "test")
    event = await station.emit(14)
    await until(lambda: station.effects(event))


async def test_relay_and_consumer_come_back_after_the_database_ended_their_sessions(
    station: Station, kit_database: ServiceDatabase
) -> None:
    kit_database.postgres.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity "  # noqa: S608
        f"where datname = '{kit_database.name}' and pid <> pg_backend_pid()"
    )

    async def emitted() -> str | None:
        with contextlib.suppress(Exception):
            return await station.emit(16)
        return None

    event = await until(emitted)
    await until(lambda: station.effects(event))


async def test_tasks_are_repeated_and_begun_again_when_they_fail(
    rabbit: Rabbit, kit_database: ServiceDatabase, tmp_path: Path
) -> None:
    turns, starts = [], []

    async def tick() -> None:
        turns.append(1)
        raise RuntimeError("on purpose")

    async def listen() -> None:
        starts.append(1)
        raise RuntimeError("on purpose")

    settings = numbers.settings(kit_database.worker_url, rabbit.url("dns"), tmp_path / "u")
    database = Database(kit_database.worker_url)
    worker = Worker(settings, (), None, (Periodic(0.01, tick), Background(listen)), database)
    running = asyncio.create_task(worker.run())

    async def both() -> bool:
        return len(turns) > 3 and len(starts) > 1

    await until(both)
    worker.stop.set()
    await running
    await database.dispose()
