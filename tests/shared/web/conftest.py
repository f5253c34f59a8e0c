"""The notes' API on the kit's database, and somebody who may read and write them."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from shared.settings import ServiceSettings
from shared.web import build_app
from tests.fixtures.database import ServiceDatabase
from tests.fixtures.identity import Trust
from tests.shared.web.notes import A, router


@pytest.fixture
async def api(kit_database: ServiceDatabase, trust: Trust) -> AsyncIterator[FastAPI]:
    app = build_app("dns", trust.settings(ServiceSettings, "dns", "api", kit_database), [router])
    yield app
    await app.state.database.dispose()


@pytest.fixture
async def client(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://dns") as client:
        yield client


@pytest.fixture
def owner(trust: Trust) -> dict[str, str]:
    return trust.user("dns", workspace_id=A, permissions=["notes.read", "notes.write"])
