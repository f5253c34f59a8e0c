"""Live streams through the real web server: each event arrives when it is sent, not when a buffer is full."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from shared.ids import new_id
from shared.web.sse import ServerSentEvent, event_stream
from tests.fixtures.identity import Trust
from tests.fixtures.web_server import PROGRAM, web_server
from tests.gateway.edge import edge, served

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")


async def test_an_event_arrives_before_the_next_is_sent(trust: Trust, tmp_path: Path) -> None:
    go_on = asyncio.Event()
    service = FastAPI()

    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent("1", "step", "first")
        await go_on.wait()
        yield ServerSentEvent("2", "step", "second")

    @service.get("/v1/workspaces/{workspace_id}/jobs/{job_id}/events")
    async def stream(workspace_id: str, job_id: str) -> StreamingResponse:
        return event_stream(events())

    account, workspace = new_id("usr"), new_id("ws")
    async with (
        served(service, tmp_path / "provisioner.sock"),
        edge(trust, tmp_path, silence_seconds=60.0) as made,
        served(made.gateway, tmp_path / "gateway.sock"),
        web_server(tmp_path) as server,
    ):
        made.know({(account, workspace): "owner"})
        context = ssl.create_default_context(cafile=server.ca_file)
        path = f"/v1/workspaces/{workspace}/jobs/{new_id('job')}/events"
        async with (
            httpx.AsyncClient(verify=context, base_url=server.url) as client,
            client.stream("GET", path, headers=made.person(account)) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            lines = answer.aiter_lines()
            async with asyncio.timeout(5):
                while await anext(lines) != "data: first":
                    pass
                go_on.set()
                while await anext(lines) != "data: second":
                    pass
