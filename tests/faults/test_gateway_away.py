"""Without its gateway the web server says so as the gateway would of a service, and goes on when it is back."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from tests.fixtures.web_server import PROGRAM, web_server
from tests.gateway.edge import Echo, served

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")


async def test_a_gateway_that_is_away_is_a_problem_document_and_returns_by_itself(tmp_path: Path) -> None:
    async with web_server(tmp_path) as server:
        context = ssl.create_default_context(cafile=server.ca_file)
        async with httpx.AsyncClient(verify=context, base_url=server.url) as client:
            for method in ("GET", "POST", "DELETE"):
                answer = await client.request(method, "/v1/me", json={} if method == "POST" else None)
                assert answer.status_code == 503
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["retry-after"] == "2"
                assert answer.json()["code"] == "unavailable"
            async with served(Echo(), tmp_path / "gateway.sock"):
                assert (await client.get("/v1/me")).status_code == 200
            assert (await client.get("/v1/me")).status_code == 503
