"""Streams of events: passed on piece by piece, for as long as their caller may, and so many for each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from shared.contracts.auth_events import MembershipChanged
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import edge, eventually, served


async def test_a_stream_is_passed_on_piece_by_piece_and_ends_when_the_caller_leaves(
    trust: Trust, tmp_path: Path
) -> None:
    left = asyncio.Event()
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"id: 1\n\n", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"id: 2\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with served(app, tmp_path / "provisioner.sock"), edge(trust, tmp_path) as made:
        account, workspace = new_id("usr"), new_id("ws")
        made.know({(account, workspace): "owner"})
        async with served(made.gateway, tmp_path / "gateway.sock"):
            transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "gateway.sock"))
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
                client.stream(
                    "GET",
                    f"/v1/workspaces/{workspace}/jobs/{new_id('job')}/events",
                    headers={**made.person(account), "Last-Event-ID": "0"},
                ) as answer,
            ):
                pieces = answer.aiter_raw()
                assert await anext(pieces) == b"id: 1\n\n"
                go_on.set()
                assert await anext(pieces) == b"id: 2\n\n"
            await asyncio.wait_for(left.wait(), 5)
        await eventually(lambda: made.gateway.upstreams.pools["provisioner"].open_connections == 0)


async def test_a_stream_ends_with_the_rights_of_its_caller(trust: Trust, tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"id: 1\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with served(app, tmp_path / "provisioner.sock"), edge(trust, tmp_path) as made:
        account, workspace = new_id("usr"), new_id("ws")
        made.know({(account, workspace): "member"})
        path = f"/v1/workspaces/{workspace}/jobs/{new_id('job')}/events"
        asking = asyncio.create_task(made.client.get(path, headers=made.person(account)))
        await eventually(lambda: made.gateway.upstreams.pools["provisioner"].open_connections == 1)
        made.gateway.authority.apply(
            MembershipChanged(workspace_id=workspace, account_id=account, role=None, sequence=1), 0.0
        )
        answer = await asyncio.wait_for(asking, 5)
        assert answer.content == b"id: 1\n\n"
        assert (await made.client.get(path, headers=made.person(account))).status_code == 404


async def test_nobody_holds_all_connections_by_streams(trust: Trust, tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"id: 1\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with (
        served(app, tmp_path / "provisioner.sock"),
        edge(trust, tmp_path, streams_per_caller=2) as made,
    ):
        pool = made.gateway.upstreams.pools["provisioner"]
        greedy, other, workspace = new_id("usr"), new_id("usr"), new_id("ws")
        made.know({(greedy, workspace): "owner", (other, workspace): "member"})
        path = f"/v1/workspaces/{workspace}/jobs/{new_id('job')}/events"
        headers = made.person(greedy)
        held = [asyncio.create_task(made.client.get(path, headers=headers)) for _ in range(2)]
        await eventually(lambda: pool.open_connections == 2)
        refused = await made.client.get(path, headers=made.person(greedy))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        held.append(asyncio.create_task(made.client.get(path, headers=made.person(other))))
        await eventually(lambda: pool.open_connections == 3)
        made.gateway.authority.apply(
            MembershipChanged(workspace_id=workspace, account_id=greedy, role=None, sequence=1), 0.0
        )
        await asyncio.wait_for(asyncio.gather(*held[:2]), 5)
        made.know({(greedy, workspace): "owner", (other, workspace): "member"}, sequence=1)
        held[0] = asyncio.create_task(made.client.get(path, headers=made.person(greedy)))
        await eventually(lambda: pool.open_connections == 2)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
