"""The gateway and the five services as one: real sockets between them, real databases below."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.settings import GatewaySettings
from services.auth.access_tokens import AccessTokens
from shared.clock import SystemClock
from shared.contracts.auth_events import Heartbeat
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.gateway.edge import served
from tests.isolation import factories, people
from tests.isolation.caller import Answer, call
from tests.isolation.services import app_of
from tests.isolation.world import Customer, World, world


@dataclass(frozen=True)
class Person:
    """The owner of a workspace of his own."""

    customer: Customer
    headers: dict[str, str]

    @property
    def workspace_id(self) -> str:
        return self.customer.workspace_id

    @property
    def account_id(self) -> str:
        return self.customer.account_id

    @property
    def email(self) -> str:
        return f"{self.account_id}@people.test"


@dataclass
class Stage:
    world: World
    gateway: Gateway

    async def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Answer:
        return await call(self.gateway, method, path, headers=headers, body=body)

    async def learn(self) -> None:
        """The gateway takes in who is who now, as after a start, and trusts it for the rest of the test."""
        await learn(self.gateway)

    async def person(self, signed_in: timedelta = timedelta()) -> Person:
        """Somebody new, who signed in so long ago."""
        customer = Customer(new_id("ws"), new_id("usr"), "Ada Example")
        await factories.customers.admit(self.world, customer)
        settings = self.world.apps["auth"].state.settings
        tokens = AccessTokens(settings.access_key_file.read_bytes(), settings.public_url, SystemClock())
        token = tokens.issue(
            account_id=customer.account_id,
            session_id=await people.session(self.world, customer.account_id),
            authenticated_at=datetime.now(UTC) - signed_in,
        )
        await self.learn()
        return Person(customer, {"Authorization": f"Bearer {token}"})


async def learn(gateway: Gateway) -> None:
    gateway.authority.load(await gateway._snapshot())
    gateway.authority.apply(Heartbeat(sequence=gateway.authority.sequence), 0.0)


def gateway_for(trust: Trust, directory: Path, **fields: Any) -> Gateway:
    """Limits of rate are out of the way: they are tested elsewhere."""
    plenty = 10**9
    settings = {
        "services_dir": directory,
        "silence_seconds": 3600.0,
        "rate_limit_signed_in": plenty,
        "rate_limit_public": plenty,
    }
    return Gateway(trust.settings(GatewaySettings, "gateway", "api", **{**settings, **fields}))


@asynccontextmanager
async def stage(
    service_database: ServiceDatabases,
    trust: Trust,
    directory: Path,
    *,
    services: dict[str, dict[str, Any]] | None = None,
    documented: bool = False,
    **fields: Any,
) -> AsyncIterator[Stage]:
    """`fields` are settings of the gateway, `services` has those of services that are not as everywhere else. A
    documented gateway knows the services' own documents, and lets only what they declare pass."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(world(service_database, trust, directory))
        for name, differently in (services or {}).items():
            made.apps[name] = app_of(name, trust, directory, service_database(name), **differently)
        for name, app in made.apps.items():
            await stack.enter_async_context(served(app, directory / f"{name}.sock"))
        gateway = gateway_for(trust, directory, **fields)
        stack.push_async_callback(gateway.stop)
        await gateway.tokens.refresh()
        if documented:
            await gateway.documentation.load()
        yield Stage(made, gateway)
