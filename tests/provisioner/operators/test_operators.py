"""What operators read over their own socket: the fleet of all workspaces, and nothing can be changed by it."""

from __future__ import annotations

import asyncio
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from services.provisioner.app import ROUTERS
from services.provisioner.operators.endpoints import operator_app, serving
from services.provisioner.operators.repository import QUERIES
from tests.fixtures import run
from tests.provisioner.stage import Stage


@pytest.fixture
async def operator(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=operator_app(stage.database))
    async with httpx.AsyncClient(transport=transport, base_url="http://operators") as client:
        yield client


async def test_every_view_answers_with_a_list(operator: httpx.AsyncClient) -> None:
    for name in QUERIES:
        reply = await operator.get(f"/{name}")
        # That Stripe was never compared is an answer of its own.
        expected = [{"compared_at": None, "compared": 0}] if name == "findings" else []
        assert (reply.status_code, reply.json()) == (200, {"items": expected}), name


async def test_a_stuck_server_is_shown_with_its_reason_and_what_to_do(
    stage: Stage, operator: httpx.AsyncClient
) -> None:
    stage.others.listed = {f"198.51.100.{n}" for n in (16, 17, 18)}
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    rows = (await operator.get("/stuck")).json()["items"]
    assert {row["server_id"] for row in rows} == {server.id}
    assert "AddressesRefused" in {row["reason"] for row in rows}
    assert len(rows[0]["last_trouble"]["evidence"]["refused"]) == 3
    assert rows[0]["hostname"] == server.hostname


async def test_servers_of_all_workspaces_are_shown(stage: Stage, operator: httpx.AsyncClient) -> None:
    made = {(await stage.paid()).id for _ in range(2)}
    rows = (await operator.get("/servers")).json()["items"]
    assert {row["id"] for row in rows} == made
    assert len({row["workspace_id"] for row in rows}) == 2


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (a file has no event)
            await asyncio.sleep(0.01)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_but_reading_is_answered(operator: httpx.AsyncClient, method: str) -> None:
    for name in QUERIES:
        assert (await operator.request(method, f"/{name}")).status_code == 405


async def test_the_socket_is_its_owner_s_alone_and_gone_with_the_process(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="sc-op-") as short:
        socket = Path(short) / "operators.sock"
        task = asyncio.ensure_future(serving(stage.database, socket)())
        try:
            await until(socket.exists)
            assert mode_of(socket) == 0o600
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            async with httpx.AsyncClient(transport=transport, base_url="http://operators") as client:
                assert (await client.get("/quotas")).json() == {"items": []}
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await until(lambda: not socket.exists())


def test_no_route_of_the_gateway_leads_to_it() -> None:
    ours = {f"/{name}" for name in QUERIES}
    served = {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
    table = (run.ROOT / "gateway/permissions.toml").read_text()
    assert ours.isdisjoint(served)
    assert "operator" not in table
