"""The Cloudflare stand-in over a real DNS tree, with one customer's zone and its token."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from sandbox.cloudflare import PREFIX, Books, Publisher, create_app
from sandbox.cloudflare.customers import Customers
from sandbox.faults import Faults
from sandbox.infrastructure import Infrastructure
from sandbox.serve import HttpServers
from sandbox.store import Store

PLATFORM_TOKEN = "platform-token-of-the-contract-tests"
PLATFORM_ACCOUNT = "c" * 32


@dataclass
class Cloud:
    """What a test needs: books, customers, faults, the platform's zone id and the API's base URL."""

    books: Books
    customers: Customers
    faults: Faults
    publisher: Publisher
    platform_zone_id: str
    base_url: str
    ca_file: Path

    def client(self, token: str = PLATFORM_TOKEN) -> httpx.AsyncClient:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.base_url, headers=headers, verify=trust, timeout=10)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(
    world: Infrastructure, https: tuple[HttpServers, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cloud]:
    servers, ca_file = https
    books = Books(Store(tmp_path_factory.mktemp("cloudflare") / "books.sqlite3"))
    edge = (world.addresses.v4_of(8), world.addresses.v6_of(8))
    publisher = Publisher(world.tree, books, edge=edge)
    faults = Faults(quiet=True)
    customers = Customers(books, publisher)
    zone = await customers.ensure_platform("platform.test", PLATFORM_ACCOUNT, PLATFORM_TOKEN)
    url = servers.reserve("cloudflare") + PREFIX
    await servers.start("cloudflare", create_app(books, publisher, faults))
    yield Cloud(books, customers, faults, publisher, zone["id"], url, ca_file)
