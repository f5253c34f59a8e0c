"""Events that no queue waits for, and which of several relays sends."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.bus import outbox
from shared.bus.connection import EXCHANGE, connect
from shared.bus.worker import Worker
from shared.contracts.envelope import EventData
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabase
from tests.shared.bus import numbers
from tests.shared.bus.station import Station, until


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
