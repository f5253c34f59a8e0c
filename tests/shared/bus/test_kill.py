"""Five hundred events while the processes that move them are killed again and again: each counts exactly once."""

import asyncio
import itertools
import multiprocessing
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.bus import outbox
from shared.bus.redrive import redrive
from shared.db.database import Database
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabase
from tests.shared.bus import numbers
from tests.shared.bus.numbers import BINDINGS, QUEUE, NumberSeen

EVENTS = 500
PLACES = (
    "relay.before_publish",
    "relay.before_mark",
    "consumer.before_commit",
    "consumer.after_commit",
    "consumer.before_ack",
)
SECONDS = 150


class Crew:
    """Worker processes, each told to die somewhere; a dead one is replaced."""

    def __init__(self, database: str, amqp: str, directory: Path, source: random.Random) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.shared.bus.numbers"])
        self._arguments = (database, amqp)
        self._directory = directory
        self._source = source
        self._crew: list[tuple[multiprocessing.process.BaseProcess, str, float]] = []
        self._places = itertools.cycle(PLACES)
        self.deaths: Counter[str] = Counter()

    def died_everywhere(self) -> bool:
        return set(self.deaths) == {*PLACES, "from outside"}

    def hire(self, crash_at: str = "") -> None:
        socket = str(self._directory / secrets.token_hex(4))
        process = self._context.Process(
            target=numbers.work, args=(*self._arguments, socket, crash_at), daemon=True
        )
        process.start()
        self._crew.append(
            (process, crash_at.split(":")[0], time.monotonic() + self._source.uniform(2.0, 8.0))
        )

    def turn(self, *, faults: bool) -> None:
        """Buries the dead, kills at random, and keeps two at work."""
        for member in list(self._crew):
            process, place, doomed_at = member
            if faults and process.is_alive() and time.monotonic() > doomed_at:
                process.kill()
                process.join()
                place = "from outside"
            if not process.is_alive():
                self._crew.remove(member)
                self.deaths[place] += 1
        while len(self._crew) < 2:
            place = next(self._places)
            # The relay passes its places once per batch, a consumer once per message.
            visits = self._source.randint(1, 5) if place.startswith("relay") else self._source.randint(1, 30)
            self.hire(f"{place}:{visits}" if faults else "")

    def dismiss(self) -> None:
        for process, _, _ in self._crew:
            process.kill()
            process.join()
        self._crew.clear()


@pytest.fixture
def crew(rabbit: Rabbit, kit_database: ServiceDatabase, tmp_path: Path) -> Iterator[Crew]:
    made = Crew(kit_database.worker_url, rabbit.url("dns"), tmp_path, random.Random(20261122))
    yield made
    made.dismiss()


async def test_no_event_is_lost_or_counted_twice(rabbit: Rabbit, worker: Database, crew: Crew) -> None:
    await rabbit.declare(BINDINGS)
    deadline = time.monotonic() + SECONDS
    emitted = 0
    while emitted < EVENTS or not crew.died_everywhere():
        assert time.monotonic() < deadline, f"{await _counts(worker)} after {crew.deaths}"
        crew.turn(faults=True)
        batch = 3 if emitted < EVENTS - 100 else 1
        if emitted < EVENTS - 1 or crew.died_everywhere():  # the last one waits for the last kind of death
            await _emit(worker, range(emitted, emitted + batch))
            emitted += batch
        await asyncio.sleep(0.1)
    crew.dismiss()  # from here on nobody dies
    while (await _counts(worker))["numbers"] < EVENTS:
        assert time.monotonic() < deadline, f"{await _counts(worker)} after {crew.deaths}"
        crew.turn(faults=False)
        # A message that was in hand at six deaths is parked: not lost, and the operator's command brings it back.
        await redrive(rabbit.operator_url, None, queue=QUEUE, maximum=EVENTS)
        await asyncio.sleep(0.2)
    async with worker.transaction() as session:
        effects = list(await session.scalars(text("select number from effect order by number")))
    assert effects == list(range(EVENTS))


async def _emit(database: Database, numbers_: range) -> None:
    for number in numbers_:
        async with database.transaction() as session:
            await outbox.emit(
                session,
                NumberSeen(number=number),
                subject=str(number),
                workspace_id=None,
                aggregate_version=1,
            )


async def _counts(database: Database) -> dict[str, int]:
    async with database.transaction() as session:
        row = (
            await session.execute(
                text("select count(distinct number) as numbers, count(*) as effects from effect")
            )
        ).one()
        return dict(row._mapping)
