"""From `emit` to the handler over a real broker, and what becomes of messages that fail."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import pytest
from sqlalchemy import text

from shared.bus import outbox
from shared.bus.connection import EXCHANGE, connect
from shared.bus.redrive import redrive
from shared.bus.relay import asyncpg_arguments
from shared.bus.testing import envelope_for
from shared.bus.topology import PARKED
from shared.bus.worker import Background, Periodic, Worker
from shared.contracts.envelope import EventData
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabase
from tests.shared.bus import numbers
from tests.shared.bus.numbers import BINDINGS, QUEUE, Faults, NumberSeen


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """Waits for a condition to become true and returns its value."""
    async with asyncio.timeout(seconds):
        while not (value := await condition()):  # noqa: ASYNC110 (the condition lies in another process)
            await asyncio.sleep(0.05)
        return value


class Station:
    """A running worker on a real broker and database."""

    def __init__(self, rabbit: Rabbit, database: Database, worker: Worker, faults: Faults) -> None:
        self.rabbit = rabbit
        self.database = database
        self.worker = worker
        self.faults = faults

    async def emit(self, number: int) -> str:
        async with self.database.transaction() as session:
            return await outbox.emit(
                session, NumberSeen(number=number), subject="n", workspace_id=None, aggregate_version=1
            )

    async def effects(self, event_id: str) -> int:
        async with self.database.transaction() as session:
            found = await session.scalar(
                text("select count(*) from effect where event_id = :e"), {"e": event_id}
            )
            return int(found or 0)

    async def published(self, event_id: str) -> Any:
        async with self.database.transaction() as session:
            return await session.scalar(
                text("select published_at from outbox where id = :e"), {"e": event_id}
            )

    async def parked(self) -> list[str]:
        """Message ids in the parking place, left there."""
        connection = await connect(self.rabbit.operator_url, None, name="look")
        channel = await connection.channel()
        queue = await channel.get_queue(QUEUE + PARKED)
        found = []
        while (message := await queue.get(fail=False)) is not None:
            found.append(message)
        for message in found:
            await message.reject(requeue=True)
        await connection.close()
        return [str(message.message_id) for message in found]

    async def publish(self, body: bytes, key: str = NumberSeen.type, user: str = "dns") -> None:
        connection = await aio_pika.connect(self.rabbit.url(user))
        async with connection:
            channel = await connection.channel(on_return_raises=True)
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            await exchange.publish(
                aio_pika.Message(body, message_id=new_id("evt"), type=key), key, mandatory=True
            )


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


async def test_an_event_takes_effect_once_and_is_marked(station: Station) -> None:
    event = await station.emit(1)
    await until(lambda: station.effects(event))
    await until(lambda: station.published(event))
    assert await station.effects(event) == 1


async def test_an_event_of_a_rolled_back_transaction_is_never_sent(station: Station) -> None:
    with contextlib.suppress(RuntimeError):
        async with station.database.transaction() as session:
            lost = await outbox.emit(
                session, NumberSeen(number=2), subject="n", workspace_id=None, aggregate_version=1
            )
            raise RuntimeError
    later = await station.emit(3)
    await until(lambda: station.effects(later))
    assert await station.effects(lost) == 0


async def test_a_second_delivery_changes_nothing(station: Station) -> None:
    envelope = envelope_for(NumberSeen(number=4))
    body = envelope.model_dump_json().encode()
    for _ in range(3):
        await station.publish(body)
    marker = await station.emit(5)
    await until(lambda: station.effects(marker))
    await until(lambda: station.effects(envelope.id))
    assert await station.effects(envelope.id) == 1


async def test_a_transient_failure_is_tried_again_in_process(station: Station) -> None:
    station.faults.transient = 2
    event = await station.emit(6)
    await until(lambda: station.effects(event))
    assert station.faults.calls == 3


async def test_a_permanent_failure_is_parked_at_once(station: Station) -> None:
    station.faults.permanent = True
    event = await station.emit(7)
    assert await until(station.parked) == [event]
    assert station.faults.calls == 1


async def test_what_keeps_failing_is_parked_and_redrive_brings_it_back_to_that_queue(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.consumer.LONGEST_REDELIVERY_PAUSE", 0.01)
    station.faults.broken = True
    event = await station.emit(8)
    assert await until(station.parked) == [event]
    assert station.faults.calls == 6  # the first delivery and five more
    station.faults.broken = False
    arguments: dict[str, Any] = {"queue": QUEUE, "maximum": 10}
    dry = await redrive(station.rabbit.operator_url, None, dry_run=True, **arguments)
    assert (dry.moved, dry.kept) == (1, 1)
    other = await redrive(station.rabbit.operator_url, None, kind="dns.other.v1", **arguments)
    assert (other.moved, other.kept) == (0, 1)
    real = await redrive(station.rabbit.operator_url, None, **arguments)
    assert (real.moved, real.kept) == (1, 0)
    await until(lambda: station.effects(event))
    assert await station.parked() == []


def wrong_messages() -> dict[str, bytes]:
    good = json.loads(envelope_for(NumberSeen(number=9)).model_dump_json())
    return {
        "not JSON": b"\xff\xfe",
        "not an envelope": b"{}",
        "another type inside": json.dumps(good | {"type": "provisioner.server.ready.v1"}).encode(),
        "another source": json.dumps(good | {"source": "/provisioner"}).encode(),
        "a payload that does not fit": json.dumps(good | {"data": {"number": "many"}}).encode(),
        "a megabyte": json.dumps(good | {"data": {"number": "9" * 1_000_000}}).encode(),
    }


@pytest.mark.parametrize("name", list(wrong_messages()))
async def test_a_message_that_is_not_what_it_says_is_parked_and_the_next_one_handled(
    station: Station, name: str
) -> None:
    await station.publish(wrong_messages()[name])
    event = await station.emit(10)
    await until(lambda: station.effects(event))
    assert len(await until(station.parked)) == 1


async def test_unknown_fields_of_a_newer_producer_are_ignored(station: Station) -> None:
    envelope = json.loads(envelope_for(NumberSeen(number=11)).model_dump_json())
    envelope["data"]["colour"] = "red"
    await station.publish(json.dumps(envelope | {"newattribute": "x"}).encode())
    await until(lambda: station.effects(envelope["id"]))


async def test_events_published_with_the_operators_key_for_nobody_are_not_lost_in_silence(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.relay.HOLD_UNROUTABLE_SECONDS", 0.5)
    monkeypatch.setattr("shared.bus.relay.RETRY_UNROUTABLE_SECONDS", 0.1)

    class Unheard(EventData):
        type = "dns.thing.unheard.v1"

    async with station.database.transaction() as session:
        event = await outbox.emit(session, Unheard(), subject="n", workspace_id=None, aggregate_version=1)
    after = await station.emit(12)
    await until(lambda: station.effects(after))  # it does not hold up the others
    assert await station.published(event) is None
    await until(lambda: station.published(event))
    async with station.database.transaction() as session:
        headers = await session.scalar(text("select headers from outbox where id = :e"), {"e": event})
    assert headers["unroutable"] is True


async def test_events_set_aside_are_sent_once_there_is_a_queue_for_them(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.relay.HOLD_UNROUTABLE_SECONDS", 0.1)
    monkeypatch.setattr("shared.bus.relay.RETRY_UNROUTABLE_SECONDS", 0.1)
    monkeypatch.setattr("shared.bus.relay.PROBE_SECONDS", 0.2)

    class Awaited(EventData):
        type = "dns.thing.awaited.v1"

    async with station.database.transaction() as session:
        events = [
            await outbox.emit(session, Awaited(), subject="n", workspace_id=None, aggregate_version=number)
            for number in range(300)
        ]

    async def aside() -> bool:
        query = text("select count(*) from outbox where type = :t and headers ? 'unroutable'")
        async with station.database.transaction() as session:
            return bool((await session.scalar(query, {"t": Awaited.type}) or 0) >= len(events) - 1)

    await until(aside)
    marker = await station.emit(15)
    await until(lambda: station.effects(marker))  # so many do not hold up the others
    connection = await connect(station.rabbit.operator_url, None, name="late")
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("dns.late", auto_delete=True)
        await queue.bind(EXCHANGE, routing_key=Awaited.type)
        got: set[str] = set()

        async def arrived() -> bool:
            while (message := await queue.get(fail=False)) is not None:
                got.add(str(message.message_id))
                await message.ack()
            return got == set(events)

        await until(arrived)


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


async def test_one_relay_leads_and_another_takes_over(
    station: Station, rabbit: Rabbit, kit_database: ServiceDatabase, tmp_path: Path
) -> None:
    settings = numbers.settings(kit_database.worker_url, rabbit.url("dns"), tmp_path / "t")
    second = Worker(settings, (), None, (), station.database)
    running = asyncio.create_task(second.run())
    await asyncio.sleep(0.5)
    relays = [station.worker._relay, second._relay]
    assert [relay.leading for relay in relays] == [True, False]
    station.worker.stop.set()

    async def taken_over() -> bool:
        return second._relay.leading

    await until(taken_over)
    assert not station.worker._relay.leading
    event = await station.emit(17)
    await until(lambda: station.published(event))
    second.stop.set()
    await running


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


async def test_the_app_role_can_add_events_of_its_workspace_only(app: Database, worker: Database) -> None:
    mine, theirs = new_id("ws"), new_id("ws")

    async def emit(context: str, workspace: str) -> str:
        async with app.transaction(context) as session:
            return await outbox.emit(
                session, NumberSeen(number=1), subject="n", workspace_id=workspace, aggregate_version=1
            )

    await emit(mine, mine)
    with pytest.raises(Exception, match="row-level security"):
        await emit(mine, theirs)


async def test_the_app_role_cannot_read_the_outbox(kit_database: ServiceDatabase) -> None:
    connection = await asyncpg.connect(**asyncpg_arguments(kit_database.app_url))
    try:
        for statement in ("select * from outbox", "delete from outbox", "select * from inbox"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
