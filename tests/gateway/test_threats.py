"""Threats on the bus: told by a broker user that may do nothing else, kept while the broker is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import AMQPError
from pydantic import SecretStr

from gateway.filter.threats import Threat, ThreatLog, ThreatPublisher
from shared.bus.connection import EXCHANGE, connect
from shared.bus.supervise import supervise
from shared.bus.topology import THREATS_USER
from shared.contracts.envelope import Envelope
from shared.contracts.gateway_events import ThreatObserved
from shared.ids import new_id
from tests.fixtures.bus import Rabbit
from tests.fixtures.identity import Trust
from tests.gateway.edge import settings_for


@pytest.fixture
async def listening(rabbit: Rabbit) -> AsyncIterator[AbstractQueue]:
    """A queue of the operator's that gets all threats."""
    await rabbit.declare(())
    connection = await connect(rabbit.operator_url, None, name="test")
    channel = await connection.channel()
    queue = await channel.declare_queue("", exclusive=True)
    await queue.bind(EXCHANGE, ThreatObserved.type)
    yield queue
    await connection.close()


async def next_event(queue: AbstractQueue) -> tuple[Envelope, ThreatObserved]:
    for _ in range(400):
        message = await queue.get(fail=False)
        if message is not None:
            await message.ack()
            envelope = Envelope.model_validate_json(message.body)
            return envelope, ThreatObserved.model_validate(envelope.data)
        await asyncio.sleep(0.02)
    raise AssertionError("nothing was told")


async def test_what_was_seen_is_told_and_again_after_the_broker_was_lost(
    rabbit: Rabbit, listening: AbstractQueue, trust: Trust, tmp_path: Path
) -> None:
    log, stop = ThreatLog(), asyncio.Event()
    settings = settings_for(
        trust, tmp_path, threat_amqp_url=SecretStr(rabbit.url(THREATS_USER)), threat_seconds=0.05
    )
    publisher = ThreatPublisher(settings, log)
    running = asyncio.create_task(supervise("threats", publisher.run, stop))
    workspace = new_id("ws")
    try:
        log.add(
            Threat(workspace, "signature", "observed", "192.0.2.1", "usr_1", "POST /v1/x"), ("xss.script",)
        )
        log.add(
            Threat(workspace, "signature", "observed", "192.0.2.1", "usr_1", "POST /v1/x"), ("sql.union",)
        )
        envelope, threat = await next_event(listening)
        assert (envelope.source, envelope.type, envelope.workspaceid) == (
            "/gateway",
            ThreatObserved.type,
            workspace,
        )
        assert (threat.count, threat.signatures, threat.source) == (
            2,
            ("xss.script", "sql.union"),
            "192.0.2.1",
        )
        user = rabbit.users[THREATS_USER].name
        rabbit.node.control("close_all_user_connections", user, "test")
        log.add(Threat(None, "honeytoken", "blocked", "198.51.100.0/24"))
        _, second = await next_event(listening)
        assert (second.kind, second.workspace_id) == ("honeytoken", None)
    finally:
        stop.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def publish_another_fact(channel: AbstractChannel) -> None:
    exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    await exchange.publish(aio_pika.Message(b"{}"), "auth.membership.changed.v1")


async def publish_another_fact_of_the_gateway(channel: AbstractChannel) -> None:
    exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    await exchange.publish(aio_pika.Message(b"{}"), "gateway.other.fact.v1")


async def declare_a_queue(channel: AbstractChannel) -> None:
    await channel.declare_queue("gateway.x", exclusive=True)


async def declare_an_exchange(channel: AbstractChannel) -> None:
    await channel.declare_exchange("gateway.x")


async def read_a_queue(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("auth.audit-log", ensure=False)
    await queue.get(fail=False)


async def write_past_the_exchange(channel: AbstractChannel) -> None:
    await channel.default_exchange.publish(aio_pika.Message(b"{}"), "auth.audit-log")


@pytest.mark.parametrize(
    "attempt",
    [
        publish_another_fact,
        publish_another_fact_of_the_gateway,
        declare_a_queue,
        declare_an_exchange,
        read_a_queue,
        write_past_the_exchange,
    ],
)
async def test_who_tells_of_threats_may_do_nothing_else(rabbit: Rabbit, attempt: Any) -> None:
    await rabbit.declare(())
    connection = await connect(SecretStr(rabbit.url(THREATS_USER)), None, name="test")
    try:
        with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
            await attempt(await connection.channel())
    finally:
        await connection.close()


async def test_the_gateways_other_user_cannot_reach_the_events_by_an_exchange_of_its_own(
    rabbit: Rabbit,
) -> None:
    await rabbit.declare(())
    connection = await connect(SecretStr(rabbit.url("gateway")), None, name="test")
    try:
        channel = await connection.channel()
        own = await channel.declare_exchange("gateway.x", aio_pika.ExchangeType.TOPIC, auto_delete=True)
        events = await channel.get_exchange(EXCHANGE, ensure=False)
        with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
            await events.bind(own, "#")
    finally:
        await connection.close()
