"""The gateway in front of a real service on a unix socket, without a broker: its authority is fed by hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from gateway.app import Gateway
from gateway.authority import Snapshot
from gateway.inbound import Inbound
from gateway.keys import keys_of
from gateway.settings import GatewaySettings
from services.auth.access_tokens import AccessTokens
from shared.clock import SystemClock
from shared.contracts.auth_events import Heartbeat
from shared.identity import generate_private_pem
from shared.ids import new_id
from shared.web.serve import listen
from tests.fixtures.identity import Trust

ISSUER = "https://sendchief.test"
KEY = "sc_live_abcdefgh_" + "k" * 32 + "_000000"
App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Edge:
    """`client` speaks to the gateway. `seen` holds what the service behind was sent."""

    gateway: Gateway
    client: httpx.AsyncClient
    tokens: AccessTokens
    introspections: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def person(
        self, account_id: str | None = None, *, signed_in_ago: int = 0, session_id: str | None = None
    ) -> dict[str, str]:
        token = self.tokens.issue(
            account_id=account_id or new_id("usr"),
            session_id=session_id or new_id("ses"),
            authenticated_at=datetime.now(UTC) - timedelta(seconds=signed_in_ago),
        )
        return {"Authorization": f"Bearer {token}"}

    def know(self, roles: dict[tuple[str, str], str], *, sequence: int = 0) -> None:
        """A snapshot, and a heartbeat that makes it trusted."""
        self.gateway.authority.load(Snapshot(sequence, roles, frozenset()))
        self.gateway.authority.apply(Heartbeat(sequence=sequence), 0.0)


def partner(account: str, workspace: str, *scopes: str, role: str = "owner") -> dict[str, Any]:
    """What auth says of an API key."""
    return {
        "active": True,
        "account_id": account,
        "role": role,
        "workspace_id": workspace,
        "key_id": new_id("key"),
        "scopes": list(scopes),
        "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }


class Echo:
    """A service that answers with what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append(
            {
                "method": scope["method"],
                "path": scope["raw_path"].decode(),
                "query": scope["query_string"].decode(),
                "headers": [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]],
                "body": body,
            }
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"2"),
            (b"x-request-id", dict(scope["headers"]).get(b"x-request-id", b"")),
            (b"server", b"secret/1.0"),
            (b"access-control-allow-origin", b"*"),
            (b"set-cookie", b"a=b"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    def last_headers(self) -> dict[str, str]:
        return dict(self.seen[-1]["headers"])


@asynccontextmanager
async def served(app: App, socket: Path) -> AsyncIterator[None]:
    """A real uvicorn on a unix socket, as services run, and with the gateway's own protocol if it is one."""
    listener = listen(socket, 0o600)
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        http=Inbound if isinstance(app, Gateway) else "auto",
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await eventually(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
        listener.close()


def settings_for(trust: Trust, directory: Path, **fields: Any) -> GatewaySettings:
    return trust.settings(
        GatewaySettings,
        "gateway",
        "api",
        services_dir=directory,
        public_url=ISSUER,
        **fields,
    )


@asynccontextmanager
async def edge(trust: Trust, directory: Path, **fields: Any) -> AsyncIterator[Edge]:
    """The gateway over ASGI. Auth's three answers (keys, snapshot, introspection) come from the test."""
    gateway = Gateway(settings_for(trust, directory, **fields))
    tokens = AccessTokens(generate_private_pem(), ISSUER, SystemClock())
    transport = httpx.ASGITransport(app=gateway)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as client:
        stage = Edge(gateway, client, tokens)

        async def keys() -> dict[str, bytes]:
            return keys_of(tokens.jwks())

        async def introspect(question: dict[str, Any]) -> Any:
            stage.introspections.append(question)
            if question["kind"] == "api_key":
                return stage.answers.get(question["key"], {"active": False})
            return stage.answers.get(question["session_id"], {"active": True, "role": None})

        gateway.tokens._fetch = keys
        gateway.upstreams.introspect = introspect  # type: ignore[method-assign]
        gateway.pipeline._keys._introspect = introspect
        await gateway.tokens.refresh()
        try:
            yield stage
        finally:
            await gateway.stop()


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
