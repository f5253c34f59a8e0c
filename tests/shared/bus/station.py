"""A worker that runs, and a way to wait for what it does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
from sqlalchemy import text

from shared.bus import outbox
from shared.bus.connection import EXCHANGE, connect
from shared.bus.topology import PARKED
from shared.bus.worker import Worker
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.bus import Rabbit
from tests.shared.bus.numbers import QUEUE, Faults, NumberSeen


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
