"""The vault's worker as a process of its own on a real broker, and the listeners' side of a test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika

from shared.bus.connection import EXCHANGE
from shared.contracts.envelope import Envelope
from tests.fixtures.bus import Rabbit
from tests.vault.conftest import Vault

ROOT = Path(__file__).parents[2]


async def nothing(*_: object) -> None:
    """The listener of the test declares queues and reads them itself."""


@asynccontextmanager
async def worker(vault: Vault, rabbit: Rabbit, directory: Path) -> AsyncIterator[None]:
    """Runs while the block does, and has to end well."""
    process = subprocess.Popen(  # noqa: ASYNC220 (it is started once and does not wait)
        [sys.executable, "-m", "services.vault.worker"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SC_SOCKET": str(directory / "w.sock"),
            "SC_DATABASE_URL": vault.database.worker_url,
            "SC_AMQP_URL": rabbit.url("vault"),
            "SC_IDENTITY_TRUST_DIR": str(vault.trust.directory),
            "SC_KEY_SERVICE_SOCKET": str(directory / "never-asked.sock"),
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0


async def said(rabbit: Rabbit, service: str, sent: Envelope) -> None:
    """Publishes it as the service would."""
    connection = await aio_pika.connect(rabbit.url(service))
    async with connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE, ensure=False)
        body = sent.model_dump_json(exclude_none=True).encode()
        await exchange.publish(aio_pika.Message(body, message_id=sent.id, type=sent.type), sent.type)


async def heard(rabbit: Rabbit, service: str, queue: str) -> Envelope:
    """The next message of the service's queue. Raises TimeoutError after half a minute."""
    connection = await aio_pika.connect(rabbit.url(service))
    async with connection:
        listening = await (await connection.channel()).get_queue(queue, ensure=False)
        async with asyncio.timeout(30), listening.iterator() as messages:
            return Envelope.model_validate_json((await anext(messages)).body)
