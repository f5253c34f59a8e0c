"""Pushed revocation: from auth's transaction through outbox, relay and broker to the gateway's next decision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError
from pydantic import SecretStr
from sqlalchemy import text

from gateway.app import Gateway
from services.auth.bindings import BINDINGS
from services.auth.settings import WorkerSettings
from services.auth.worker import beat
from shared.bus.connection import EXCHANGE, connect
from shared.bus.relay import Relay
from shared.bus.supervise import supervise
from shared.db.database import Database
from shared.ids import new_id
from tests.auth.stage import Stage, staged
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabase, ServiceDatabases
from tests.fixtures.identity import Trust
from tests.gateway.edge import eventually, served, settings_for


class Pulse:
    """Auth's worker as far as gateways hear it: relay and heartbeat."""

    def __init__(self, trust: Trust, database: ServiceDatabase, rabbit: Rabbit, directory: Path) -> None:
        self._settings = trust.settings(
            WorkerSettings,
            "auth",
            "worker",
            database,
            amqp_url=rabbit.url("auth"),
            mail_key_file=directory / "unused",
            resend_api_key="re_x",
            webhook_key="webhook" * 8,
            mail_from="x@people.test",
        )
        self._database = Database(database.worker_url)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def _beats(self) -> None:
        while not self._stop.is_set():
            await beat(self._database)
            await asyncio.sleep(0.1)

    def start(self) -> None:
        self._stop = asyncio.Event()
        relay = Relay(self._settings, self._stop)
        self._tasks = [
            asyncio.create_task(supervise("relay", relay.run, self._stop)),
            asyncio.create_task(self._beats()),
        ]

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def close(self) -> None:
        await self.stop()
        await self._database.dispose()


@asynccontextmanager
async def world(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, directory: Path, **fields: Any
) -> AsyncIterator[tuple[Stage, Gateway, Pulse]]:
    """`fields` are settings of auth's API."""
    await rabbit.declare(BINDINGS)
    database = service_database("auth")
    pulse = Pulse(trust, database, rabbit, directory)
    async with staged(database, trust, directory, **fields) as auth:
        transport = auth.client._transport
        async with served(transport.app, directory / "auth.sock"):  # type: ignore[attr-defined]
            settings = settings_for(
                trust, directory, amqp_url=SecretStr(rabbit.url("gateway")), silence_seconds=1.0
            )
            gateway = Gateway(settings)
            pulse.start()
            await gateway.start()
            try:
                await eventually(lambda: gateway.authority.fresh, 15)
                yield auth, gateway, pulse
            finally:
                await gateway.stop()
                await pulse.close()


@pytest.fixture
async def stage(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[tuple[Stage, Gateway, Pulse]]:
    async with world(service_database, trust, rabbit, tmp_path) as made:
        yield made


async def test_a_membership_that_ends_is_gone_at_the_gateway_within_a_quarter_of_a_second(
    stage: tuple[Stage, Gateway, Pulse],
) -> None:
    auth, gateway, _ = stage
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    await eventually(lambda: gateway.authority.role(guest.id, workspace_id) == "member")
    headers = auth.as_user(owner.id, workspace_id)
    members = (await auth.client.get(f"/v1/workspaces/{workspace_id}/members", headers=headers)).json()[
        "items"
    ]
    member = next(item for item in members if item["account_id"] == guest.id)
    await auth.client.delete(f"/v1/workspaces/{workspace_id}/members/{member['id']}", headers=headers)
    committed = time.monotonic()
    await eventually(lambda: gateway.authority.role(guest.id, workspace_id) is None)
    assert time.monotonic() - committed < 1.0  # target 0.25 s; room for a machine under load


async def test_an_ended_session_is_known(stage: tuple[Stage, Gateway, Pulse]) -> None:
    auth, gateway, _ = stage
    person = await auth.person()
    await auth.client.delete(
        "/v1/auth/sessions/current", headers=auth.as_user(person.id, session_id=person.session_id)
    )
    await eventually(lambda: gateway.authority.ended(person.session_id))


async def test_silence_ends_trust_and_a_heartbeat_brings_it_back(stage: tuple[Stage, Gateway, Pulse]) -> None:
    _, gateway, pulse = stage
    await pulse.stop()
    await eventually(lambda: not gateway.authority.fresh)
    pulse.start()
    await eventually(lambda: gateway.authority.fresh, 10)


async def test_a_lost_event_is_noticed_and_made_good_by_a_new_snapshot(
    stage: tuple[Stage, Gateway, Pulse],
) -> None:
    auth, gateway, pulse = stage
    owner = await auth.person()
    await pulse.stop()
    workspace_id = await auth.workspace(owner)
    async with auth.worker.database.transaction() as session:
        await session.execute(text("delete from outbox where type = 'auth.membership.changed.v1'"))
    assert gateway.authority.role(owner.id, workspace_id) is None
    pulse.start()
    await eventually(lambda: gateway.authority.role(owner.id, workspace_id) == "owner", 10)
    assert gateway.authority.fresh


async def test_a_gateway_that_loses_the_broker_trusts_nothing_until_it_has_asked_anew(
    stage: tuple[Stage, Gateway, Pulse], rabbit: Rabbit
) -> None:
    auth, gateway, _ = stage
    owner = await auth.person()
    generation = gateway.authority.generation
    rabbit.node.control("close_all_connections", "--vhost", rabbit.vhost, "test")
    await eventually(lambda: gateway.authority.generation > generation, 10)
    workspace_id = await auth.workspace(owner)
    await eventually(
        lambda: gateway.authority.role(owner.id, workspace_id) == "owner" and gateway.authority.fresh, 20
    )


async def declare_elsewhere(channel: AbstractChannel) -> None:
    await channel.declare_queue("auth.stolen", exclusive=True)


async def publish(channel: AbstractChannel) -> None:
    exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    await exchange.publish(Message(b"{}", message_id=new_id("evt")), "auth.membership.changed.v1")


async def read_auths_queue(channel: AbstractChannel) -> None:
    queue = await channel.get_queue("auth.audit-log", ensure=False)
    await queue.get(fail=False)


@pytest.mark.parametrize("attempt", [declare_elsewhere, publish, read_auths_queue])
async def test_the_gateways_user_may_make_its_own_queue_and_nothing_else(
    rabbit: Rabbit, attempt: Callable[[AbstractChannel], Awaitable[None]]
) -> None:
    await rabbit.declare(BINDINGS)
    connection = await connect(SecretStr(rabbit.url("gateway")), None, name="test")
    channel = await connection.channel()
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await attempt(channel)
    await connection.close()


async def test_nobody_but_auth_speaks_on_the_authority_stream(rabbit: Rabbit) -> None:
    connection = await connect(SecretStr(rabbit.url("dns")), None, name="test")
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        await publish(await connection.channel())
    await connection.close()
