"""The worker as a process of its own, with production's permissions: an address comes in, a verdict goes out."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest

from services.reputation.bindings import BINDINGS
from shared.bus.connection import EXCHANGE, connect
from shared.bus.testing import envelope_for
from shared.bus.topology import permissions
from shared.contracts.envelope import Envelope
from shared.contracts.provisioner_events import AddressReserved
from shared.contracts.reputation_events import AddressChecked
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fixtures.run import ROOT
from tests.reputation import nameserver
from tests.reputation.nameserver import serving

NAMES = ("one", "uno", "two", "three")


@pytest.fixture
async def worker(
    rabbit: Rabbit, service_database: ServiceDatabases, trust: Trust, lists_file: Path, tmp_path: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    rabbit.permit({"reputation": permissions("reputation", BINDINGS)})
    await rabbit.declare(BINDINGS)
    async with serving({f"{name}.test": nameserver.sound() for name in NAMES}) as server:
        server.zones["one.test"] = nameserver.sound("127.0.0.2")
        environment = {
            "PATH": os.environ["PATH"],
            "SC_SOCKET": str(tmp_path / "worker.sock"),
            "SC_IDENTITY_TRUST_DIR": str(trust.directory),
            "SC_DATABASE_URL": service_database("reputation").worker_url,
            "SC_AMQP_URL": rabbit.url("reputation"),
            "SC_BLACKLISTS_FILE": str(lists_file),
            "SC_RESOLVER": server.address,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.reputation.worker", cwd=ROOT, env=environment
        )
        yield process
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_reserved_address_is_answered_over_the_bus(
    worker: asyncio.subprocess.Process, rabbit: Rabbit, reserved: AddressReserved
) -> None:
    listener = await connect(rabbit.operator_url, None, name="listener")
    channel = await listener.channel()
    answers = await channel.declare_queue(exclusive=True)
    await answers.bind(EXCHANGE, routing_key=AddressChecked.type)
    async with await aio_pika.connect(rabbit.url("provisioner")) as connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE, ensure=False)
        body = envelope_for(reserved, subject=reserved.address_id).model_dump_json().encode()
        await exchange.publish(aio_pika.Message(body, type=reserved.type), reserved.type, mandatory=True)
    async with asyncio.timeout(60), answers.iterator() as messages:
        envelope = Envelope.model_validate_json((await anext(messages)).body)
    said = AddressChecked.model_validate(envelope.data)
    assert (said.address_id, said.verdict) == (reserved.address_id, "listed")
    assert envelope.causationid is not None
    await listener.close()
    worker.terminate()
    assert await asyncio.wait_for(worker.wait(), 20) == 0
