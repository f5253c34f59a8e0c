"""What was seen is told by the bus: summed up, bounded, and without anything of a request's content."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

import aio_pika
from prometheus_client import Counter

from gateway.settings import GatewaySettings
from shared.bus.connection import EXCHANGE, NoBroker, connect
from shared.bus.relay import CONTENT_TYPE
from shared.contracts.envelope import Envelope
from shared.contracts.gateway_events import ThreatAction, ThreatKind, ThreatObserved
from shared.ids import new_id

SEEN = Counter("sc_gateway_threats_total", "Requests that count as a threat", ["kind", "action"])
UNTOLD = Counter("sc_gateway_threats_untold_total", "Threats beyond what is kept while nobody listens")
PER_WORKSPACE: Final = 20
"""Told one by one in one round; the others of that workspace and kind are one line."""
MAX_KEPT: Final = 2000
CONFIRM_SECONDS: Final = 5.0
MANY: Final = "many"
_EVERYBODY: Final = ""


class Threat(NamedTuple):
    """What is summed up: requests that agree in all of this."""

    workspace_id: str | None
    kind: ThreatKind
    action: ThreatAction
    source: str
    subject: str | None = None
    route: str | None = None


@dataclass(slots=True)
class _Sum:
    first_at: datetime
    last_at: datetime
    count: int = 0
    signatures: dict[str, None] = field(default_factory=dict)


class ThreatLog:
    """Sums up what was seen since the last round."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._sums: dict[Threat, _Sum] = {}
        self._per_workspace: dict[str, int] = {}

    def add(self, threat: Threat, signatures: tuple[str, ...] = ()) -> None:
        SEEN.labels(threat.kind, threat.action).inc()
        found = self._sums.get(threat) or self._begin(threat)
        if found is None:
            UNTOLD.inc()
            return
        found.count += 1
        found.last_at = self._now()
        found.signatures |= dict.fromkeys(signatures[:16])

    def _begin(self, threat: Threat) -> _Sum | None:
        workspace = threat.workspace_id or _EVERYBODY
        told = self._per_workspace.get(workspace, 0)
        if told >= PER_WORKSPACE:
            threat = Threat(threat.workspace_id, threat.kind, threat.action, MANY)
            if threat in self._sums:
                return self._sums[threat]
        if len(self._sums) >= MAX_KEPT:
            return None
        self._per_workspace[workspace] = told + 1
        now = self._now()
        found = self._sums[threat] = _Sum(now, now)
        return found

    def take(self) -> list[ThreatObserved]:
        """What there is to tell; begins anew."""
        sums, self._sums, self._per_workspace = self._sums, {}, {}
        return [
            ThreatObserved(
                threat_id=new_id("thr"),
                count=item.count,
                signatures=tuple(item.signatures)[:16],
                first_at=item.first_at,
                last_at=item.last_at,
                **threat._asdict(),
            )
            for threat, item in sums.items()
        ]


class ThreatPublisher:
    """`run` publishes a round every few seconds until it fails; the caller begins it again. What a broker has not
    confirmed is kept for the next round; what a process had not told when it ended is lost."""

    def __init__(self, settings: GatewaySettings, log: ThreatLog) -> None:
        self._settings = settings
        self._log = log
        self._waiting: list[ThreatObserved] = []

    async def run(self) -> None:
        url = self._settings.threat_amqp_url
        if url is None:
            raise NoBroker("SC_THREAT_AMQP_URL is not set")
        connection = await connect(url, self._settings.amqp_ca_file, name="gateway-threats")
        try:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            while True:
                await asyncio.sleep(self._settings.threat_seconds)
                if connection.is_closed or channel.is_closed:
                    raise ConnectionError("the broker closed the channel")
                self._waiting += self._log.take()
                while self._waiting:
                    await _publish(exchange, self._waiting[0])
                    del self._waiting[0]
        finally:
            UNTOLD.inc(max(0, len(self._waiting) - MAX_KEPT))
            del self._waiting[MAX_KEPT:]
            with contextlib.suppress(Exception):  # a broken connection may refuse to close
                await asyncio.wait_for(connection.close(), 2)


async def _publish(exchange: aio_pika.abc.AbstractExchange, threat: ThreatObserved) -> None:
    envelope = Envelope(
        id=new_id("evt"),
        source=f"/{threat.producer()}",
        type=threat.type,
        subject=threat.threat_id,
        time=threat.last_at,
        workspaceid=threat.workspace_id,
        aggregateversion=1,
        data=threat.model_dump(mode="json"),
    )
    message = aio_pika.Message(
        envelope.model_dump_json(exclude_none=True).encode(),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=envelope.id,
        type=envelope.type,
        content_type=CONTENT_TYPE,
        app_id=threat.producer(),
    )
    async with asyncio.timeout(CONFIRM_SECONDS):
        await exchange.publish(message, envelope.type, mandatory=True)
