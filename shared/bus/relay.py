"""The relay: publishes what stands in `outbox`, in order, and marks only what the broker has confirmed.

One relay per service is active, the holder of a session advisory lock, because several would reorder. It is woken
by LISTEN on the connection that holds the lock, so that losing one is losing both, and looks every second besides. A
crash between confirm and mark publishes an event twice under the same message id; the consumers' inbox takes care of
that. An event that no queue takes is tried again for a minute, then set aside: marked, counted, and logged.
It is never removed: each hour, and when a relay begins, one of each type is tried, and once a queue takes it the others
follow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter as Counts
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import asyncpg
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError
from prometheus_client import Counter, Gauge
from sqlalchemy.engine import make_url

from shared.bus.connection import EXCHANGE, connect_from
from shared.bus.supervise import pause
from shared.crashpoint import crashpoint
from shared.db.database import tls_arguments
from shared.observability.logging import get_logger
from shared.settings import ServiceSettings

PUBLISHED = Counter("sc_outbox_published_total", "Events confirmed by the broker", ["service"])
UNROUTABLE = Counter(
    "sc_outbox_unroutable_total", "Events set aside because no queue takes them", ["service", "type"]
)
SET_ASIDE = Gauge("sc_outbox_set_aside", "Events kept until a queue takes them", ["service"])
LEADER = Gauge("sc_outbox_leader", "1 while this process is the service's relay", ["service"])
PENDING = Gauge("sc_outbox_pending", "Events not yet confirmed, as seen in the last batch", ["service"])

BATCH = 200
POLL_SECONDS = 1.0
CONFIRM_SECONDS = 5.0
STANDBY_SECONDS = 1.0
HOLD_UNROUTABLE_SECONDS = 60.0
RETRY_UNROUTABLE_SECONDS = 5.0
PROBE_SECONDS = 3600.0
CONTENT_TYPE = "application/cloudevents+json"
_LOCK_KEY = 0x5C_0B0C

_SELECT = """select seq, id, type, headers, body, extract(epoch from now() - created_at) as age
from outbox where published_at is null and not seq = any($1::bigint[]) order by seq limit $2"""
_MARK = "update outbox set published_at = now() where seq = any($1::bigint[])"
_SET_ASIDE = """update outbox set published_at = now(), headers = headers || '{"unroutable": true}'::jsonb
where seq = any($1::bigint[])"""
_PROBE = """update outbox set published_at = null, headers = headers - 'unroutable' where seq in
(select min(seq) from outbox where headers ? 'unroutable' and published_at is not null group by type)
returning seq, type"""
_FOLLOW = """update outbox set published_at = null, headers = headers - 'unroutable'
where headers ? 'unroutable' and published_at is not null and type = any($1::text[])"""
_COUNT_ASIDE = "select count(*) from outbox where headers ? 'unroutable' and published_at is not null"

_log = get_logger("relay")


def asyncpg_arguments(url: str) -> dict[str, Any]:
    """Arguments of `asyncpg.connect` for a SQLAlchemy URL."""
    parsed = make_url(url)
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)
    return {**arguments, **tls_arguments(url)}


class Relay:
    """`run` works until it fails or `stop` is set; the caller supervises it."""

    def __init__(self, settings: ServiceSettings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._service = settings.service
        self._stop = stop
        self._wake = asyncio.Event()
        self._returned: dict[int, float] = {}  # seq -> when to try again (monotonic)
        self._probes: dict[int, str] = {}  # seq -> type, of events set aside that are tried again
        self._probed = -PROBE_SECONDS
        self.leading = False

    async def run(self) -> None:
        connection = await asyncpg.connect(
            **asyncpg_arguments(self._settings.direct_url().get_secret_value()),
            timeout=10,
            command_timeout=30,
            server_settings={"application_name": f"{self._service}-relay"},
        )
        try:
            if await self._lead(connection):
                async with self._exchange() as (broker, exchange):
                    self.leading, self._probed = True, -PROBE_SECONDS
                    LEADER.labels(self._service).set(1)
                    await self._relay(connection, broker, exchange)
        finally:
            self.leading = False
            LEADER.labels(self._service).set(0)
            with contextlib.suppress(Exception):  # the connection is given up either way
                await asyncio.wait_for(connection.close(), 2)

    async def _lead(self, connection: Any) -> bool:
        """Waits until this session holds the lock. False when asked to stop before that."""
        while not self._stop.is_set():
            if await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK_KEY):
                await connection.add_listener("outbox", lambda *_: self._wake.set())
                return True
            await pause(self._stop, STANDBY_SECONDS)
        return False

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[tuple[AbstractConnection, AbstractExchange]]:
        broker = await connect_from(self._settings, "relay")
        try:
            channel = await broker.channel(publisher_confirms=True, on_return_raises=True)
            yield broker, await channel.get_exchange(EXCHANGE, ensure=False)
        finally:
            with contextlib.suppress(Exception):  # a broken connection may refuse to close
                await asyncio.wait_for(broker.close(), 2)

    async def _relay(self, connection: Any, broker: AbstractConnection, exchange: AbstractExchange) -> None:
        while not self._stop.is_set():
            if broker.is_closed:
                raise ConnectionError("the broker closed the connection")
            self._wake.clear()
            now = time.monotonic()
            if now - self._probed >= PROBE_SECONDS:
                self._probed = now
                self._probes = {row["seq"]: row["type"] for row in await connection.fetch(_PROBE)}
                await self._count_aside(connection)
            waiting = [seq for seq, again in self._returned.items() if again > now]
            rows = await connection.fetch(_SELECT, waiting, BATCH)
            PENDING.labels(self._service).set(len(rows))
            if rows:
                await self._publish(connection, exchange, rows)
            if len(rows) < BATCH:
                await self._sleep()

    async def _sleep(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    async def _publish(self, connection: Any, exchange: AbstractExchange, rows: list[Any]) -> None:
        """Publishes a batch and marks what was confirmed; raises the first real failure after marking."""
        crashpoint("relay.before_publish")
        results = await asyncio.gather(
            *(self._publish_one(exchange, row) for row in rows), return_exceptions=True
        )
        confirmed, aside, failure = [], [], None
        for row, result in zip(rows, results, strict=True):
            if result is None:
                confirmed.append(row["seq"])
                self._returned.pop(row["seq"], None)
            elif isinstance(result, PublishError):
                if self._unroutable(row):
                    aside.append(row)
            elif isinstance(result, BaseException):
                failure = failure or result
        crashpoint("relay.before_mark")
        if confirmed:
            await connection.execute(_MARK, confirmed)
            PUBLISHED.labels(self._service).inc(len(confirmed))
        taken = {self._probes.pop(seq) for seq in confirmed if seq in self._probes}
        if taken:
            await connection.execute(_FOLLOW, list(taken))
        if aside:
            await connection.execute(_SET_ASIDE, [row["seq"] for row in aside])
            for kind, count in Counts(row["type"] for row in aside).items():
                UNROUTABLE.labels(self._service, kind).inc(count)
                _log.warning("no queue takes these events", type=kind, count=count)
        if taken or aside:
            await self._count_aside(connection)
        if failure is not None:
            raise failure

    async def _count_aside(self, connection: Any) -> None:
        SET_ASIDE.labels(self._service).set(await connection.fetchval(_COUNT_ASIDE))

    async def _publish_one(self, exchange: AbstractExchange, row: Any) -> None:
        headers = {key: str(value) for key, value in json.loads(row["headers"]).items()}
        message = aio_pika.Message(
            row["body"],
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=row["id"],
            type=row["type"],
            content_type=CONTENT_TYPE,
            app_id=self._service,
            headers=dict(headers),
        )
        async with asyncio.timeout(CONFIRM_SECONDS):
            try:
                await exchange.publish(message, row["type"], mandatory=True)
            except PublishError:
                raise
            except DeliveryError as error:  # negative acknowledgement: a queue is full, try again later
                raise ConnectionError(f"the broker refused {row['type']}") from error

    def _unroutable(self, row: Any) -> bool:
        """Whether the event has waited long enough for a queue and is set aside now."""
        if row["age"] < HOLD_UNROUTABLE_SECONDS:
            self._returned[row["seq"]] = time.monotonic() + RETRY_UNROUTABLE_SECONDS
            return False
        self._returned.pop(row["seq"], None)
        return True
