"""Forwarding: what reaches the service, what reaches the caller, and hostile services."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts.auth_events import MembershipChanged
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, Edge, edge, eventually, served

OWN = {"x-sc-identity", "x-request-id", "traceparent"}


@pytest.fixture
async def stage(trust: Trust, tmp_path: Path) -> AsyncIterator[tuple[Edge, Echo]]:
    echo = Echo()
    async with served(echo, tmp_path / "auth.sock"), edge(trust, tmp_path) as made:
        yield made, echo


@pytest.mark.asvs("10.1.1")
async def test_a_request_arrives_as_it_was_sent(stage: tuple[Edge, Echo]) -> None:
    made, echo = stage
    body = b'{"token":"\xc3\xa4"}'
    answer = await made.client.post(
        "/v1/auth/confirm?a=1&b=%C3%A4", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200
    seen = echo.seen[-1]
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/v1/auth/confirm", "a=1&b=%C3%A4")
    assert seen["body"] == body
    assert echo.last_headers()["content-type"] == "application/json"


@pytest.mark.asvs("4.1.3")
async def test_no_identity_that_a_caller_claims_gets_through(stage: tuple[Edge, Echo], trust: Trust) -> None:
    made, echo = stage
    forged = trust.user("auth", workspace_id=new_id("ws"), permissions=["workspace.delete"])["X-SC-Identity"]
    hostile = {
        "X-SC-Identity": forged,
        "x_sc_identity": forged,
        "X-Forwarded-User": "root",
        "X-Forwarded-Host": "evil.test",
        "Forwarded": "for=127.0.0.1",
        "X-Request-Id": "req_" + "0" * 32,
        "X-Real-IP": "127.0.0.1",
        "X-Original-URL": "/internal/memberships",
        "X-Rewrite-URL": "/internal/memberships",
        "Cookie": "__Host-sc_rt=sc_rt_x; other=1",
        "Authorization": "Bearer nonsense",
        "Connection": "X-SC-CSRF, keep-alive",
        "X-SC-CSRF": "1",
        "TE": "trailers",
        "Expect": "200-ok",
        "Proxy-Authorization": "Basic eDp5",
    }
    await made.client.post("/v1/auth/confirm", json={}, headers=hostile)
    names = {name for name, _ in echo.seen[-1]["headers"]}
    allowed = OWN | {"host", "content-type", "content-length", "accept", "user-agent"}
    assert names <= allowed
    identity = [value for name, value in echo.seen[-1]["headers"] if name == "x-sc-identity"]
    assert len(identity) == 1
    assert identity[0] != forged
    assert echo.last_headers()["x-request-id"] != hostile["X-Request-Id"]


async def test_the_refresh_cookie_reaches_its_route_and_no_other_cookie_does(
    stage: tuple[Edge, Echo],
) -> None:
    made, echo = stage
    cookies = {"Cookie": "theme=dark; __Host-sc_rt=sc_rt_abc; x=y"}
    await made.client.post("/v1/auth/sessions/refresh", headers=cookies)
    assert echo.last_headers()["cookie"] == "__Host-sc_rt=sc_rt_abc"
    await made.client.post("/v1/auth/signup", json={}, headers=cookies)
    assert "cookie" not in echo.last_headers()


@pytest.mark.asvs("3.2.1", "3.4.1", "3.4.3", "3.4.4", "3.4.5", "3.4.6", "14.3.2")
async def test_every_answer_has_the_same_guard_of_headers(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    forwarded = await made.client.get("/v1/auth/jwks")
    refused = await made.client.get("/v1/nothing")
    for answer in (forwarded, refused):
        assert answer.headers["strict-transport-security"].startswith("max-age=63072000")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"].startswith("req_")
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert len(forwarded.headers.get_list("x-request-id")) == 1


async def test_cookies_come_from_auth_only(trust: Trust, tmp_path: Path) -> None:
    echo = Echo()
    async with served(echo, tmp_path / "provisioner.sock"), edge(trust, tmp_path) as made:
        answer = await made.client.post(
            "/v1/webhooks/stripe", content=b"{}", headers={"Stripe-Signature": "t=1"}
        )
        assert "set-cookie" not in answer.headers
        assert echo.last_headers()["stripe-signature"] == "t=1"


@pytest.mark.asvs("16.5.2")
async def test_a_service_that_is_away_is_503_and_comes_back_by_itself(trust: Trust, tmp_path: Path) -> None:
    async with edge(trust, tmp_path) as made:
        for _ in range(8):
            answer = await made.client.get("/v1/auth/jwks")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"]
        made.gateway.upstreams.pools["auth"].breaker._opened_at = float("-inf")
        async with served(Echo(), tmp_path / "auth.sock"):
            assert (await made.client.get("/v1/auth/jwks")).status_code == 200
            assert not made.gateway.upstreams.pools["auth"].breaker.open


async def test_connections_are_kept_and_a_restarted_service_is_found_again(
    trust: Trust, tmp_path: Path
) -> None:
    async with edge(trust, tmp_path) as made:
        pool = made.gateway.upstreams.pools["auth"]
        async with served(Echo(), tmp_path / "auth.sock"):
            for _ in range(5):
                assert (await made.client.get("/v1/auth/jwks")).status_code == 200
            assert pool.open_connections == 1
        async with served(Echo(), tmp_path / "auth.sock"):
            assert (await made.client.get("/v1/auth/jwks")).status_code == 200


async def test_large_bodies_stream_through_unchanged(trust: Trust, tmp_path: Path) -> None:
    payload = random.Random(1).randbytes(3_000_000)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for start in range(0, len(payload), 70_000):
            await send(
                {"type": "http.response.body", "body": payload[start : start + 70_000], "more_body": True}
            )
        await send({"type": "http.response.body", "body": b""})

    async with served(app, tmp_path / "auth.sock"), edge(trust, tmp_path) as made:
        answer = await made.client.get("/v1/auth/jwks")
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(payload).digest()


async def test_chunked_and_sized_request_bodies_arrive_whole(stage: tuple[Edge, Echo]) -> None:
    made, echo = stage
    payload = random.Random(2).randbytes(500_000)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(payload), 33_000):
            yield payload[start : start + 33_000]

    await made.client.post("/v1/auth/confirm", content=pieces())
    assert echo.seen[-1]["body"] == payload
    await made.client.post(
        "/v1/auth/confirm", content=pieces(), headers={"Content-Length": str(len(payload))}
    )
    assert echo.seen[-1]["body"] == payload


async def test_too_large_a_body_is_413_whether_announced_or_not(stage: tuple[Edge, Echo]) -> None:
    made, echo = stage

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    for content in (b"x" * 1_100_000, endless()):
        answer = await made.client.post("/v1/auth/confirm", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not echo.seen


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


class Raw:
    """A service that answers with given bytes in given pieces, and perhaps hangs up."""

    def __init__(self, pieces: list[bytes], *, hang_up: bool) -> None:
        self._pieces = pieces
        self._hang_up = hang_up

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if not self._hang_up:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def ask_raw(
    trust: Trust, directory: Path, pieces: list[bytes], *, hang_up: bool = True, **fields: Any
) -> tuple[httpx.Response | str, int]:
    """The answer that a caller of the gateway gets (or that it was cut off), and connections left in the pool."""
    socket = directory / "auth.sock"
    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(Raw(pieces, hang_up=hang_up), str(socket))
    try:
        async with edge(trust, directory, **fields) as made:
            front = directory / "front.sock"
            async with served(made.gateway, front):
                transport = httpx.AsyncHTTPTransport(uds=str(front))
                async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                    answer: httpx.Response | str
                    try:
                        answer = await client.get("/v1/auth/jwks")
                    except httpx.RemoteProtocolError:
                        answer = "cut off"
                    return answer, made.gateway.upstreams.pools["auth"].open_connections
    finally:
        server.close()


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(points)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 5000), max_size=12), framing=st.sampled_from(["length", "chunked", "close"])
)
async def test_an_answer_is_the_same_however_its_bytes_are_split(
    trust: Trust, tmp_path: Path, cuts: list[int], framing: str
) -> None:
    body = gzip.compress(b"the same bytes " * 40, mtime=0)
    head = b"HTTP/1.1 200 OK\r\nX-Name: value\r\n"
    if framing == "length":
        raw = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        raw = head + b"Transfer-Encoding: chunked\r\n\r\n"
        raw += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    else:
        raw = head + b"Connection: close\r\n\r\n" + body
    answer, _ = await ask_raw(trust, tmp_path, split(raw, cuts))
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, answer.content, answer.headers["x-name"]) == (200, body, "value")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_broken_answer_never_looks_like_a_whole_one(trust: Trust, tmp_path: Path, raw: bytes) -> None:
    answer, left = await ask_raw(trust, tmp_path, [raw])
    assert answer == "cut off" or (isinstance(answer, httpx.Response) and answer.status_code == 503)
    assert left == 0


async def test_informational_answers_are_skipped(trust: Trust, tmp_path: Path) -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"
    answer, _ = await ask_raw(trust, tmp_path, [raw], hang_up=False)
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "link" not in answer.headers


async def test_a_silent_service_is_given_up(trust: Trust, tmp_path: Path) -> None:
    answer, left = await ask_raw(trust, tmp_path, [], hang_up=False, first_byte_seconds=0.1)
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, left) == (503, 0)
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"
    answer, left = await ask_raw(trust, tmp_path, [raw], hang_up=False, idle_seconds=0.1)
    assert (answer, left) == ("cut off", 0)


async def test_an_endless_answer_is_cut(trust: Trust, tmp_path: Path) -> None:
    raw = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", *[b"x" * 60_000] * 20]
    answer, left = await ask_raw(trust, tmp_path, raw, max_response_bytes=500_000)
    assert (answer, left) == ("cut off", 0)
