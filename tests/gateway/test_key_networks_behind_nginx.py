"""The address that a key is judged by is the one that the real web server saw, whatever a caller writes in headers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.fixtures.web_server import PROGRAM, web_server
from tests.gateway.edge import Echo, edge, served

INSIDE = "sc_live_insideee_" + "i" * 32 + "_000000"
LOOPBACK = "sc_live_loopback_" + "o" * 32 + "_000000"
SPOOFS = (
    {"X-Forwarded-For": "192.0.2.1"},
    {"X-Forwarded-For": "192.0.2.1, 192.0.2.1"},
    {"Forwarded": "for=192.0.2.1"},
    {"X-Real-IP": "192.0.2.1"},
    {"X_Forwarded_For": "192.0.2.1"},
)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")


def partner(account: str, workspace: str, network: str) -> dict[str, object]:
    return {
        "active": True,
        "account_id": account,
        "role": "owner",
        "workspace_id": workspace,
        "key_id": new_id("key"),
        "scopes": ["servers:read"],
        "allowed_networks": [network],
        "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }


@pytest.fixture
async def web(trust: Trust, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Echo, str]]:
    """A client of nginx, the service behind all, and a path. Requests come from loopback."""
    echo = Echo()
    account, workspace = new_id("usr"), new_id("ws")
    async with (
        served(echo, tmp_path / "provisioner.sock"),
        edge(trust, tmp_path, silence_seconds=60.0) as made,
        served(made.gateway, tmp_path / "gateway.sock"),
        web_server(tmp_path) as server,
    ):
        made.know({(account, workspace): "owner"})
        made.answers[INSIDE] = partner(account, workspace, "192.0.2.0/24")
        made.answers[LOOPBACK] = partner(account, workspace, "127.0.0.0/8")
        context = ssl.create_default_context(cafile=server.ca_file)
        async with httpx.AsyncClient(verify=context, base_url=server.url) as client:
            yield client, echo, f"/v1/workspaces/{workspace}/servers"


async def test_a_key_for_the_callers_own_network_works(web: tuple[httpx.AsyncClient, Echo, str]) -> None:
    client, echo, path = web
    answer = await client.get(path, headers={"Authorization": f"Bearer {LOOPBACK}"})
    assert (answer.status_code, len(echo.seen)) == (200, 1)


@pytest.mark.parametrize("spoof", SPOOFS, ids=lambda spoof: next(iter(spoof)))
async def test_no_header_moves_a_caller_into_a_keys_network(
    web: tuple[httpx.AsyncClient, Echo, str], spoof: dict[str, str]
) -> None:
    client, echo, path = web
    answer = await client.get(path, headers={"Authorization": f"Bearer {INSIDE}", **spoof})
    assert (answer.status_code, answer.json()["code"]) == (403, "address_not_allowed")
    assert not echo.seen
