"""Listens to auth's authority stream on a queue of this process's own, which dies with it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from aio_pika.abc import AbstractIncomingMessage
from prometheus_client import Counter
from pydantic import ValidationError

from gateway.authority import Authority, AuthorityEvent, Gap, Snapshot
from gateway.settings import GatewaySettings
from shared.bus.connection import EXCHANGE, connect_from
from shared.contracts.auth_events import ApiKeyRevoked, Heartbeat, MembershipChanged, SessionRevoked
from shared.contracts.envelope import Envelope
from shared.observability.logging import get_logger

RELOADS = Counter("sc_gateway_reloads_total", "Snapshots loaded, by what made it necessary", ["reason"])
_TYPES: Final[dict[str, type[AuthorityEvent]]] = {
    kind.type: kind for kind in (MembershipChanged, SessionRevoked, ApiKeyRevoked, Heartbeat)
}
_POLL_SECONDS = 0.5
_RELOAD_PAUSE = 0.5
_log = get_logger("stream")

LoadSnapshot = Callable[[], Awaitable[Snapshot]]


class AuthorityStream:
    """`run` listens until it fails; the caller begins it again. First the queue, then the snapshot, then events:
    whatever happens in between is in one of them."""

    def __init__(self, settings: GatewaySettings, authority: Authority, load: LoadSnapshot) -> None:
        self._settings = settings
        self._authority = authority
        self._load = load

    async def run(self) -> None:
        name = f"gateway.{secrets.token_hex(8)}"
        connection = await connect_from(self._settings, "authority")
        try:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=500)
            queue = await channel.declare_queue(
                name, exclusive=True, auto_delete=True, durable=False, arguments={"x-max-length": 100_000}
            )
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            for kind in _TYPES:
                await queue.bind(exchange, routing_key=kind)
            inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
            await queue.consume(inbox.put, no_ack=True)
            await self._reload("connected")
            while True:
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        message = await inbox.get()
                except TimeoutError:
                    if connection.is_closed or channel.is_closed:
                        raise ConnectionError("the broker closed the channel") from None
                    continue
                await self._take(message)
        finally:
            self._authority.doubt()
            with contextlib.suppress(Exception):  # a broken connection may refuse to close
                await asyncio.wait_for(connection.close(), 2)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        event, age = read(message)
        if event is None:
            return
        try:
            self._authority.apply(event, age)
        except Gap as gap:
            _log.warning("gap in the authority stream", detail=str(gap))
            self._authority.doubt()
            await self._reload("gap")
            self._authority.apply(event, age)

    async def _reload(self, reason: str) -> None:
        """Loads the snapshot, and again as long as auth does not answer: without it nothing can be trusted."""
        while True:
            try:
                self._authority.load(await self._load())
            except Exception as error:  # logged; tried again after a pause, while `fresh` stays False
                _log.warning("no snapshot", kind=type(error).__name__, detail=str(error)[:200])
                await asyncio.sleep(_RELOAD_PAUSE)
            else:
                RELOADS.labels(reason).inc()
                _log.info("snapshot loaded", sequence=self._authority.sequence, reason=reason)
                return


def read(message: AbstractIncomingMessage) -> tuple[AuthorityEvent | None, float]:
    """The event and its age in seconds; None for what is not one. The broker lets only auth write these keys."""
    try:
        envelope = Envelope.model_validate_json(message.body)
        kind = _TYPES.get(envelope.type)
        if kind is None or message.routing_key != envelope.type:
            raise ValueError("not of the authority stream")
        event = kind.model_validate(envelope.data)
    except (ValidationError, ValueError) as error:
        _log.error("unreadable event", routing_key=message.routing_key, kind=type(error).__name__)
        return None, 0.0
    return event, (datetime.now(UTC) - envelope.time).total_seconds()
