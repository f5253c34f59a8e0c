"""Forwarding: what reaches the service, what reaches the caller, and services that are away."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, Edge, edge, served

OWN = {"x-sc-identity", "x-request-id", "traceparent"}


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
