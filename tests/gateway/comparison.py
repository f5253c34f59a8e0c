"""The gateway and a direct caller before the same service that answers by script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.breaker import Breaker
from gateway.pool import Pool
from gateway.replies import SECURITY_HEADERS
from gateway.settings import GatewaySettings
from tests.fixtures.identity import Trust
from tests.gateway.edge import edge, eventually, served
from tests.gateway.upstream import Upstream, scripted

FRESH = httpx.Limits(max_keepalive_connections=0)
HANG_SECONDS = 20.0
"""Far beyond every limit that these gateways are given: what is not over by then hangs."""
SILENCE = 0.15
HOP = {
    "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "server", "date", "x-hop",
    "content-length", "x-request-id",
}  # fmt: skip
ADDED = {name.decode() for name, _ in SECURITY_HEADERS} | {"cache-control", "ratelimit", "ratelimit-policy"}


@dataclass(frozen=True)
class Reply:
    """`status` 0: there was none, or it broke off."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass
class Stage:
    upstream: Upstream
    pool: Pool
    settings: GatewaySettings
    gateway: httpx.AsyncClient
    direct: httpx.AsyncClient

    async def ask(self, number: int) -> Reply:
        async with asyncio.timeout(HANG_SECONDS):
            return await reply(self.gateway, number)

    async def ask_directly(self, number: int) -> Reply:
        async with asyncio.timeout(HANG_SECONDS):
            return await reply(self.direct, number)

    def silence(self, seconds: float) -> None:
        """How long the gateway and the direct caller wait for a byte."""
        self.settings.first_byte_seconds = self.settings.idle_seconds = seconds
        self.direct.timeout = seconds

    async def is_clean(self) -> None:
        """Every connection is counted: closing the idle ones leaves none, on either side."""
        self.pool.close()
        assert self.pool.open_connections == 0
        await self.direct.aclose()
        await eventually(lambda: self.upstream.open == 0)

    def forgive(self) -> None:
        """A closed circuit: otherwise later examples would not reach the service."""
        self.pool.breaker = Breaker(asyncio.get_running_loop().time)


async def reply(client: httpx.AsyncClient, number: int) -> Reply:
    try:
        async with client.stream("GET", f"/v1/auth/jwks?n={number}") as answer:
            body = b"".join([piece async for piece in answer.aiter_raw()])
    except (httpx.HTTPError, ValueError):
        return Reply(0)
    headers = tuple(
        sorted((name, value) for name, value in answer.headers.multi_items() if name not in HOP | ADDED)
    )
    return Reply(answer.status_code, headers, body)


@asynccontextmanager
async def staged(trust: Trust, directory: Path, **fields: Any) -> AsyncIterator[Stage]:
    limits = {"first_byte_seconds": SILENCE, "idle_seconds": SILENCE, "total_seconds": 3.0, **fields}
    async with (
        scripted(directory / "auth.sock") as upstream,
        edge(trust, directory, rate_limit_public=10**9, **limits) as made,
        served(made.gateway, directory / "front.sock"),
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(directory / "front.sock")),
            base_url="http://gateway",
            timeout=HANG_SECONDS,  # the gateway gives a stalled service up first, and asks another connection
        ) as gateway,
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(directory / "auth.sock"), limits=FRESH),
            base_url="http://service",
            timeout=SILENCE,
            headers={"X-Request-Id": "req_direct"},
        ) as direct,
    ):
        pool = made.gateway.upstreams.pools["auth"]
        yield Stage(upstream, pool, made.gateway.settings, gateway, direct)
