"""What is fuzzed: the five services' APIs, alone or behind the gateway, on loopback ports, with two customers.

Nobody is faked on the way: the gateway asks the real auth for keys, memberships and introspection over its socket,
tokens are signed with auth's key, rows are in PostgreSQL.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from gateway.app import Gateway
from gateway.inbound import Inbound
from services.auth.access_tokens import AccessTokens
from services.auth.models import Session
from shared.clock import SystemClock
from shared.ids import new_id
from tests.examples.house import house
from tests.examples.money import publish_price
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.gateway.edge import ISSUER, eventually
from tests.isolation.cases import TABLE
from tests.isolation.world import Customer, World, world


@dataclass(frozen=True)
class House:
    """`url` answers as the gateway, or as the service alone; `bearers` are A's and B's credentials there."""

    url: str
    a: Customer
    bearers: dict[str, str]


@asynccontextmanager
async def gateway_house(
    service_database: ServiceDatabases, trust: Trust, directory: Path
) -> AsyncIterator[House]:
    """The gateway before all five services, with the sandbox's Stripe beyond them. One caller who sends nonsense for
    minutes would soon be told only to slow down: limits and the filter's ladder are tried elsewhere."""
    async with house(
        service_database,
        trust,
        directory,
        public_url=ISSUER,
        rate_limit_signed_in=10**9,
        rate_limit_public=10**9,
        filter_action="observe",
    ) as made:
        await publish_price(made)
        whole = made.stage
        customers = (whole.world.a, whole.world.b)
        bearers = {one.name: await _access_token(whole.world, one, directory) for one in customers}
        await whole.learn()
        async with _on_loopback(whole.gateway) as url:
            yield House(url, whole.world.a, bearers)


@asynccontextmanager
async def service_house(
    service: str, service_database: ServiceDatabases, trust: Trust, directory: Path
) -> AsyncIterator[House]:
    """One service alone. What the gateway would say of the caller is said by the bearer's name."""
    async with world(service_database, trust, directory) as made:
        app = _Identified(service, made)
        async with _on_loopback(app) as url:
            yield House(url, made.a, {made.a.name: "a", made.b.name: "b"})


@asynccontextmanager
async def leaky_house() -> AsyncIterator[House]:
    """An API with the fault that is looked for: lists are each customer's own, single things everybody's."""
    app = FastAPI()
    things: dict[str, str] = {}
    bearer = HTTPBearer()

    async def caller(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
        if credentials.credentials not in ("a", "b"):
            raise HTTPException(401)
        return credentials.credentials

    class Thing(BaseModel):
        id: str
        note: str

    @app.post("/things", status_code=201)
    async def make(owner: Annotated[str, Depends(caller)]) -> Thing:
        thing = Thing(id=new_id("req"), note=owner)
        things[thing.id] = owner
        return thing

    @app.get("/things")
    async def own(owner: Annotated[str, Depends(caller)]) -> list[Thing]:
        return [Thing(id=thing, note=whose) for thing, whose in things.items() if whose == owner]

    @app.get("/things/{thing_id}", dependencies=[Depends(caller)])
    async def show(thing_id: str) -> Thing:
        if thing_id not in things:
            raise HTTPException(404)
        return Thing(id=thing_id, note=things[thing_id])

    async with _on_loopback(app) as url:
        yield House(url, Customer("ws_", "usr_", "A"), {"A": "a", "B": "b"})


class _Identified:
    """Puts the internal token of customer `a` or `b` in place of `Authorization: Bearer a`."""

    def __init__(self, service: str, made: World) -> None:
        self._service = service
        self._world = made
        self._customers = {b"Bearer a": made.a, b"Bearer b": made.b}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != b"x-sc-identity"]
            customer = self._customers.get(dict(headers).get(b"authorization", b""))
            if customer is not None:
                identity = self._world.trust.user(
                    self._service,
                    workspace_id=customer.workspace_id,
                    account_id=customer.account_id,
                    permissions=TABLE.permissions_of("owner"),
                )
                headers += [(name.lower().encode(), value.encode()) for name, value in identity.items()]
            scope = {**scope, "headers": headers}
        await self._world.apps[self._service](scope, receive, send)


async def _access_token(made: World, one: Customer, directory: Path) -> str:
    now = datetime.now(UTC)
    session = Session(
        id=new_id("ses"),
        account_id=one.account_id,
        created_at=now,
        authenticated_at=now,
        idle_expires_at=now + timedelta(days=7),
        expires_at=now + timedelta(days=30),
    )
    await made.add("auth", session)
    tokens = AccessTokens((directory / "access.pem").read_bytes(), ISSUER, SystemClock())
    return tokens.issue(account_id=one.account_id, session_id=session.id, authenticated_at=now)


@asynccontextmanager
async def _on_loopback(app: Any) -> AsyncIterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
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
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await task
        listener.close()
