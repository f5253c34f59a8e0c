"""A house with two receivers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sandbox.tls import Authority
from tests.auth.stage import staged
from tests.auth.webhooks.house import House
from tests.auth.webhooks.process import Names
from tests.auth.webhooks.receiver import deliveries, receiving
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust


@pytest.fixture
async def house(service_database: ServiceDatabases, trust: Trust, tmp_path: Path) -> AsyncIterator[House]:
    """Two receivers with certificates for every host of customer.com."""
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("hooks", names=["*.customer.com"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(receiving(context)) for _ in range(2)]
        ports = tuple(receiver.port for receiver in receivers)
        auth = await stack.enter_async_context(
            staged(service_database("auth"), trust, tmp_path, environment="test", webhook_ports=(443, *ports))
        )
        owner = await auth.person()
        names = Names()
        worker = deliveries(auth, authority.ca_file, ports, names)
        yield House(auth, owner, await auth.workspace(owner), receivers, authority.ca_file, worker, names)
        await worker.aclose(0)
