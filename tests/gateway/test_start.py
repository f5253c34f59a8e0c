"""A route that is missing in the table, in the code or in the OpenAPI document stops the start.

The gateway is a real process here; the five services answer with their real documents, one of them changed.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import GatewaySettings
from services.auth.workspaces import endpoints
from shared.web.access import MissingAccessRule
from tests.fixtures.identity import Trust
from tests.fixtures.processes import Processes
from tests.gateway.edge import served
from tests.isolation.services import app_of, available, documents_of

MEMBER = "/v1/workspaces/{workspace_id}/members/{member_id}"
STARTUP_FAILURE = 3
Documents = dict[str, Any]
Start = Callable[..., Awaitable[Processes]]


class Service:
    """Answers every request with one JSON document: its OpenAPI document, as far as the start is concerned."""

    def __init__(self, document: Any) -> None:
        self._body = json.dumps(document).encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self._body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


@pytest.fixture(scope="session")
def real_documents(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> Documents:
    return documents_of(available(), trust, tmp_path_factory.mktemp("documents"))


@pytest.fixture
def documents(real_documents: Documents) -> Documents:
    """To be changed by the test."""
    return copy.deepcopy(real_documents)


@pytest.fixture
async def start(trust: Trust, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts the gateway in front of services with these documents."""
    processes = Processes(tmp_path, trust)

    async with AsyncExitStack() as stack:

        async def go(documents: Documents, table: Path | None = None) -> Processes:
            for name, document in documents.items():
                await stack.enter_async_context(served(Service(document), tmp_path / f"{name}.sock"))
            await processes.start(
                "gateway",
                ["gateway"],
                {"SC_PERMISSIONS_FILE": str(table)} if table else {},
                identity_key=trust.key_file("gateway").read_bytes(),
            )
            return processes

        try:
            yield go
        finally:
            await processes.stop()


async def ended(processes: Processes) -> int:
    return await asyncio.wait_for(processes.running["gateway"].wait(), 30)


async def is_up(processes: Processes) -> bool:
    async with asyncio.timeout(30), processes.client("gateway") as client:
        while processes.running["gateway"].returncode is None:
            try:
                return (await client.get("/healthz")).status_code == 200
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    return False


async def test_with_everything_in_its_place_the_gateway_starts(documents: Documents, start: Start) -> None:
    """Without this one the three below could be red for another reason."""
    processes = await start(documents)
    assert await is_up(processes)


async def test_a_route_missing_in_the_table_stops_the_start(
    documents: Documents, start: Start, tmp_path: Path
) -> None:
    text = GatewaySettings.model_fields["permissions_file"].default.read_text()
    tables = text.split("[[route]]")
    kept = [part for part in tables if f'path = "{MEMBER}"' not in part or 'method = "PATCH"' not in part]
    assert len(kept) == len(tables) - 1
    (tmp_path / "permissions.toml").write_text("[[route]]".join(kept))
    processes = await start(documents, tmp_path / "permissions.toml")
    assert await ended(processes) == STARTUP_FAILURE
    assert f"PATCH {MEMBER} of auth is not in the table" in processes.log("gateway")


async def test_a_route_missing_in_the_code_stops_the_start(
    documents: Documents, start: Start, trust: Trust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [route for route in endpoints.router.routes if getattr(route, "name", "") != "change_role"]
    assert len(left) == len(endpoints.router.routes) - 1
    monkeypatch.setattr(endpoints.router, "routes", left)
    processes = await start(documents | documents_of(("auth",), trust, tmp_path))
    assert await ended(processes) == STARTUP_FAILURE
    assert f"PATCH {MEMBER} is in the table, auth has no such route" in processes.log("gateway")


def test_a_route_missing_in_the_openapi_document_stops_the_start_of_its_service(
    trust: Trust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the code and may be in the table; but what is hidden nobody could compare."""
    route = next(route for route in endpoints.router.routes if getattr(route, "path", "") == MEMBER)
    monkeypatch.setattr(route, "include_in_schema", False)
    with pytest.raises(MissingAccessRule, match="hidden from the OpenAPI document"):
        app_of("auth", trust, tmp_path)


async def test_services_that_are_away_do_not_stop_the_start(documents: Documents, start: Start) -> None:
    for name in ("dns", "vault"):
        del documents[name]
    processes = await start(documents)
    assert await is_up(processes)


async def test_a_contradiction_is_found_while_other_services_are_away(
    documents: Documents, start: Start
) -> None:
    for name in ("dns", "vault"):
        del documents[name]
    documents["auth"]["paths"]["/v1/backdoor"] = {"get": {}}
    processes = await start(documents)
    assert await ended(processes) == STARTUP_FAILURE
    assert "GET /v1/backdoor of auth is not in the table" in processes.log("gateway")
