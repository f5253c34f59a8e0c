"""What the broker refuses to a service's user, with the permissions of production."""

from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed
from aiormq.exceptions import ChannelAccessRefused

from shared.bus.binding import Binding, HandlerContext
from shared.bus.connection import DEAD_LETTER_EXCHANGE, EXCHANGE
from shared.bus.topology import PARKED, load_bindings, permissions
from shared.contracts import reputation_events
from shared.contracts.envelope import EventData
from tests.fixtures.bus import Rabbit

REFUSED = (ChannelAccessRefused, ChannelClosed)


async def nothing(context: HandlerContext, event: EventData) -> None:
    return None


BINDINGS = (
    Binding("dns.on-listed", reputation_events.AddressListed, nothing),
    Binding("provisioner.on-listed", reputation_events.AddressListed, nothing),
)


@pytest.fixture(scope="module")
def production(rabbit: Rabbit) -> Rabbit:
    mine = [binding for binding in BINDINGS if binding.service == "dns"]
    rabbit.permit({"dns": permissions("dns", mine), "gateway": permissions("gateway")})
    return rabbit


async def channel_of(rabbit: Rabbit, user: str) -> AsyncIterator[AbstractChannel]:
    await rabbit.declare(BINDINGS)
    connection = await aio_pika.connect(rabbit.url(user))
    yield await connection.channel(on_return_raises=True)
    await connection.close()


@pytest.fixture
async def dns(production: Rabbit) -> AsyncIterator[AbstractChannel]:
    async for channel in channel_of(production, "dns"):
        yield channel


@pytest.fixture
async def gateway(production: Rabbit) -> AsyncIterator[AbstractChannel]:
    async for channel in channel_of(production, "gateway"):
        yield channel


async def publish(channel: AbstractChannel, exchange: str, key: str) -> None:
    target: Any = (
        channel.default_exchange if exchange == "" else await channel.get_exchange(exchange, ensure=False)
    )
    await target.publish(aio_pika.Message(b"{}"), key, mandatory=False)


async def test_a_service_publishes_its_own_facts(dns: AbstractChannel) -> None:
    await publish(dns, EXCHANGE, "dns.zone.proven.v1")


@pytest.mark.asvs("13.2.2")
@pytest.mark.parametrize(
    "key", ["provisioner.server.ready.v1", "auth.workspace.deleted.v1", "dnsx.a.b.v1", "dns", ""]
)
async def test_a_service_cannot_publish_anothers_fact(dns: AbstractChannel, key: str) -> None:
    with pytest.raises(REFUSED):
        await publish(dns, EXCHANGE, key)


async def test_a_service_cannot_write_to_a_queue_through_the_default_exchange(dns: AbstractChannel) -> None:
    with pytest.raises(REFUSED):
        await publish(dns, "", "provisioner.on-listed")


async def test_a_service_cannot_write_to_its_own_queue_through_the_default_exchange(
    dns: AbstractChannel,
) -> None:
    with pytest.raises(REFUSED):
        await publish(dns, "", "dns.on-listed")


async def test_a_service_cannot_write_to_the_dead_letter_exchange(dns: AbstractChannel) -> None:
    with pytest.raises(REFUSED):
        await publish(dns, DEAD_LETTER_EXCHANGE, "dns.on-listed")


@pytest.mark.parametrize("exchange", ["amq.topic", "amq.direct", "amq.fanout", "amq.headers"])
async def test_a_service_cannot_write_to_a_builtin_exchange(dns: AbstractChannel, exchange: str) -> None:
    with pytest.raises(REFUSED):
        await publish(dns, exchange, "dns.zone.proven.v1")


async def test_a_service_reads_its_own_queue(dns: AbstractChannel) -> None:
    queue = await dns.get_queue("dns.on-listed", ensure=False)
    assert await queue.get(fail=False) is None


@pytest.mark.parametrize("name", ["provisioner.on-listed", "dns.on-listed" + PARKED])
async def test_a_service_cannot_read_another_queue_nor_a_parking_place(
    dns: AbstractChannel, name: str
) -> None:
    queue = await dns.get_queue(name, ensure=False)
    with pytest.raises(REFUSED):
        await queue.get(fail=False)


async def test_a_service_cannot_declare_a_queue(dns: AbstractChannel) -> None:
    with pytest.raises(REFUSED):
        await dns.declare_queue("dns.secret", durable=True)


async def test_a_service_cannot_declare_an_exchange(dns: AbstractChannel) -> None:
    with pytest.raises(REFUSED):
        await dns.declare_exchange("dns.events")


async def test_a_service_cannot_bind_its_queue_to_more(dns: AbstractChannel) -> None:
    queue = await dns.get_queue("dns.on-listed", ensure=False)
    with pytest.raises(REFUSED):
        await queue.bind(EXCHANGE, routing_key="#")


async def test_a_service_cannot_delete_or_purge_anothers_queue(dns: AbstractChannel) -> None:
    queue = await dns.get_queue("provisioner.on-listed", ensure=False)
    with pytest.raises(REFUSED):
        await queue.delete(if_unused=False, if_empty=False)


async def test_a_service_cannot_purge_anothers_queue(dns: AbstractChannel) -> None:
    queue = await dns.get_queue("provisioner.on-listed", ensure=False)
    with pytest.raises(REFUSED):
        await queue.purge()


async def test_the_gateway_has_an_exclusive_queue_of_its_own(gateway: AbstractChannel) -> None:
    queue = await gateway.declare_queue("gateway.1234", exclusive=True, auto_delete=True)
    await queue.bind(EXCHANGE, routing_key="auth.#")
    assert await queue.get(fail=False) is None


@pytest.mark.parametrize("key", ["auth.session.revoked.v1", "dns.zone.proven.v1"])
async def test_the_gateway_publishes_no_facts(gateway: AbstractChannel, key: str) -> None:
    with pytest.raises(REFUSED):
        await publish(gateway, EXCHANGE, key)


async def test_the_gateway_cannot_read_a_services_queue(gateway: AbstractChannel) -> None:
    queue = await gateway.get_queue("dns.on-listed", ensure=False)
    with pytest.raises(REFUSED):
        await queue.get(fail=False)


def test_a_service_without_bindings_reads_nothing() -> None:
    assert permissions("dns").read == "^$"


def test_dots_in_names_are_not_wildcards() -> None:
    assert permissions("dns", BINDINGS[:1]).read == r"^(dns\.on-listed)$"


def test_a_queue_under_another_services_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        pass

    Module.BINDINGS = BINDINGS  # type: ignore[attr-defined]
    monkeypatch.setattr("shared.bus.topology.importlib.import_module", lambda _: Module)
    with pytest.raises(ValueError, match=r"provisioner\.on-listed"):
        load_bindings("dns")
