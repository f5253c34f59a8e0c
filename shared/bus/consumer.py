"""Consuming: each message takes effect once, in one transaction with its inbox row, and is acknowledged after commit.

What fails:
- `Transient`: three tries in this process within five seconds, then redelivery;
- `Permanent`, or a message that cannot be read: parked at once;
- any other exception: redelivery after a pause; when the delivery limit is reached the broker parks it;
- the database is away: the message is held and tried until it is back, and does not burn the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from prometheus_client import Counter, Histogram
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from shared.bus.binding import Binding, HandlerContext
from shared.bus.connection import connect_from
from shared.bus.errors import Permanent, Transient
from shared.bus.supervise import pause
from shared.contracts.envelope import Envelope
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.db.kit_tables import inbox
from shared.errors import Unavailable
from shared.observability.logging import get_logger
from shared.observability.trace import trace
from shared.settings import ServiceSettings

HANDLED = Counter("sc_events_handled_total", "Messages by outcome", ["queue", "type", "outcome"])
SECONDS = Histogram("sc_event_seconds", "Seconds from delivery to outcome", ["queue"])
TRANSIENT_TRIES = 3
TRANSIENT_PAUSES = (0.2, 1.0)
LONGEST_REDELIVERY_PAUSE = 5.0
WATCHDOG_SECONDS = 20.0

_log = get_logger("consumer")


class ConsumerLost(ConnectionError):
    """The broker no longer delivers to us although nobody asked it to stop."""


class QueueConsumer:
    """The consumer of one queue, on a channel of its own. `run` works until it fails or `stop` is set."""

    def __init__(
        self,
        settings: ServiceSettings,
        database: Database,
        queue: str,
        bindings: Mapping[str, Binding],
        resources: Any,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._database = database
        self.queue = self._queue = queue
        self._bindings = bindings
        self._resources = resources
        self._stop = stop
        self._working: set[asyncio.Task[None]] = set()
        self.consuming = False

    async def run(self) -> None:
        connection = await connect_from(self._settings, self._queue)
        try:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=max(binding.prefetch for binding in self._bindings.values()))
            queue = await channel.get_queue(self._queue, ensure=False)
            tag = await queue.consume(self._accept)
            self.consuming = True
            await self._watch(connection, channel)
            await self._drain(queue, tag)
        finally:
            self.consuming = False
            with contextlib.suppress(Exception):  # a broken connection may refuse to close
                await asyncio.wait_for(connection.close(), 2)

    async def _watch(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        """Returns when asked to stop, raises when the deliveries have stopped coming.

        A passive declare tells what no callback does: that the queue is there and still has a consumer.
        """
        next_check = time.monotonic() + WATCHDOG_SECONDS
        while not self._stop.is_set():
            await pause(self._stop, 0.5)
            if connection.is_closed or channel.is_closed:
                raise ConsumerLost(f"{self._queue}: the channel was closed")
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + WATCHDOG_SECONDS
                async with asyncio.timeout(WATCHDOG_SECONDS):
                    state = await channel.declare_queue(self._queue, passive=True)
                if state.declaration_result.consumer_count == 0:
                    raise ConsumerLost(f"{self._queue}: the broker has no consumer")

    async def _drain(self, queue: AbstractQueue, tag: str) -> None:
        """Takes no more messages and lets those at work finish."""
        await queue.cancel(tag)
        if self._working:
            await asyncio.wait(self._working, timeout=self._settings.shutdown_seconds)

    async def _accept(self, message: AbstractIncomingMessage) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        began = time.perf_counter()
        kind = message.type or message.routing_key or "?"
        with structlog.contextvars.bound_contextvars(
            queue=self._queue, event_id=message.message_id, type=kind
        ):
            outcome = await self._settle(message)
        label = kind if kind in self._bindings else "unknown"
        HANDLED.labels(self._queue, label, outcome).inc()
        SECONDS.labels(self._queue).observe(time.perf_counter() - began)

    async def _settle(self, message: AbstractIncomingMessage) -> str:
        """Handles one message and acknowledges, parks or returns it. The word says which, for the counter."""
        try:
            binding, envelope, event = decode(message, self._bindings)
            fresh = await self._handle(binding, envelope, event)
        except Permanent as error:
            _log.error("message parked", reason=str(error)[:500])
            await message.reject(requeue=False)
            return "parked"
        except Exception as error:  # bounded by the queue's delivery limit, after which the broker parks it
            count = _delivery_count(message)
            _log.error("handler failed", delivery=count, exc_info=error)
            await pause(self._stop, min(0.2 * 2**count, LONGEST_REDELIVERY_PAUSE))
            await message.reject(requeue=True)
            return "returned"
        crashpoint("consumer.before_ack")
        await message.ack()
        return "handled" if fresh else "duplicate"

    async def _handle(self, binding: Binding, envelope: Envelope, event: Any) -> bool:
        """False when this event had taken effect before."""
        tries = 0
        wait = 0.25
        while True:
            try:
                return await self._handle_once(binding, envelope, event)
            except Transient:
                tries += 1
                if tries >= TRANSIENT_TRIES:
                    raise
                spread = random.uniform(0.8, 1.2)  # noqa: S311 (spreads retries, not a secret)
                await pause(self._stop, TRANSIENT_PAUSES[tries - 1] * spread)
            except (OSError, DBAPIError, Unavailable) as error:
                if self._stop.is_set() or not database_lost(error):
                    raise
                _log.warning("database away, message held", kind=type(error).__name__)
                await pause(self._stop, wait)
                wait = min(wait * 2, 5.0)

    async def _handle_once(self, binding: Binding, envelope: Envelope, event: Any) -> bool:
        with trace(envelope.traceparent, envelope.id):
            async with self._database.transaction(workspace_id=envelope.workspaceid) as session:
                inserted = await session.execute(
                    insert(inbox)
                    .values(consumer=self._queue, event_id=envelope.id)
                    .on_conflict_do_nothing()
                    .returning(inbox.c.event_id)
                )
                if inserted.first() is None:
                    return False
                context = HandlerContext(session, envelope, self._resources, self._settings.service)
                await binding.handler(context, event)
                await session.execute(
                    select(func.now())
                )  # a transaction that failed unseen fails here, before ack
                crashpoint("consumer.before_commit")
            crashpoint("consumer.after_commit")
        return True


def decode(
    message: AbstractIncomingMessage, bindings: Mapping[str, Binding]
) -> tuple[Binding, Envelope, Any]:
    """Binding, envelope and typed payload of a message; `Permanent` when it cannot be what it says.

    The routing key is what the broker let the producer write, so the type inside has to be the same. Messages
    that come back by redrive have the queue's name there: only the operator may write to a queue directly.
    """
    try:
        envelope = Envelope.model_validate_json(message.body)
    except ValidationError as error:
        raise Permanent(f"not an event: {error.error_count()} errors") from error
    if message.exchange and message.routing_key != envelope.type:
        raise Permanent("the type inside is not the routing key")
    if envelope.source != f"/{envelope.type.split('.', 1)[0]}":
        raise Permanent("the source is not the type's producer")
    binding = bindings.get(envelope.type)
    if binding is None:
        raise Permanent(f"nothing handles {envelope.type}")
    try:
        event = binding.event.model_validate(envelope.data)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:5])
        raise Permanent(f"the payload does not fit {envelope.type}: {fields}") from error
    if getattr(event, "workspace_id", envelope.workspaceid) != envelope.workspaceid:
        raise Permanent("the workspace inside is not the envelope's")
    return binding, envelope, event


def database_lost(error: BaseException) -> bool:
    """Whether the database, rather than the statement, is at fault."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return bool(error.connection_invalidated) or state.startswith(("08", "57P", "53"))
    return isinstance(error, OSError | Unavailable)


def _delivery_count(message: AbstractIncomingMessage) -> int:
    count = message.headers.get("x-delivery-count", 0)
    return count if isinstance(count, int) else 0
