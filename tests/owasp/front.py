"""The product as an attacker meets it: the gateway, behind it the five services on sockets, and their databases.

Two customers, A and B, have a workspace each; `person` makes more people. What one of them holds is made by the
factories of `tests/isolation`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import update

from gateway.app import Gateway
from services.auth.models import Account, Member, Session
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.bodies import BODIES
from tests.isolation.cases import TABLE
from tests.isolation.factories import FACTORIES
from tests.isolation.stage import learn, stage
from tests.isolation.world import Customer, Made, World

ORIGIN = "https://localhost"
W = "/v1/workspaces/{workspace_id}"


@dataclass
class Front:
    world: World
    gateway: Gateway
    client: httpx.AsyncClient

    async def token(self, account_id: str, *, signed_in_ago: int = 0) -> str:
        """An access token of a real session, signed by auth."""
        then = datetime.now(UTC) - timedelta(seconds=signed_in_ago)
        row = Session(
            id=new_id("ses"),
            account_id=account_id,
            created_at=then,
            authenticated_at=then,
            idle_expires_at=then + timedelta(days=7),
            expires_at=then + timedelta(days=30),
        )
        await self.world.add("auth", row)
        issued: str = self.world.apps["auth"].state.resources.tokens.issue(
            account_id=account_id, session_id=row.id, authenticated_at=then
        )
        return issued

    async def person(self, *roles: tuple[Customer, str]) -> str:
        """The account of somebody with these roles."""
        account_id = new_id("usr")
        now = datetime.now(UTC)
        await self.world.add(
            "auth",
            Account(
                id=account_id,
                email=f"{account_id}@people.test",
                name="Eve",
                password_hash="!",
                created_at=now,
            ),
            *(
                Member(
                    id=new_id("mem"),
                    workspace_id=customer.workspace_id,
                    account_id=account_id,
                    role=role,
                    joined_at=now,
                )
                for customer, role in roles
            ),
        )
        await self.learn()
        return account_id

    async def learn(self) -> None:
        """The gateway takes in who is who, as after a start."""
        await learn(self.gateway)

    async def ask(
        self, token: str | None, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        sent = {
            "Idempotency-Key": new_id("evt"),
            "If-Match": "*",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return await self.client.request(method, path, json=body, headers=sent)

    async def with_password(self, password: str) -> tuple[str, str]:
        """The account and the address of somebody who can sign in."""
        account_id = await self.person()
        hashed = await self.world.apps["auth"].state.resources.hasher.hash(SecretStr(password))
        async with self.world.databases["auth"].transaction() as session:
            await session.execute(
                update(Account).where(Account.id == account_id).values(password_hash=hashed)
            )
        return account_id, f"{account_id}@people.test"

    async def owner(self, customer: Customer) -> str:
        return await self.token(customer.account_id)

    async def made(self, service: str, parameter: str, customer: Customer) -> Made:
        return await FACTORIES[service, parameter](self.world, customer)

    async def request_of(self, name: str, customer: Customer) -> tuple[str, Any]:
        """Path and body of a route of the table (`METHOD /path`), about a fresh thing of the customer's."""
        method, path = name.split(" ")
        route = next(item for item in TABLE.routes if (item.method, item.path) == (method, path))
        made = None
        for part in path.split("/"):
            if part.startswith("{") and part not in ("{workspace_id}", "{ended_workspace_id}"):
                made = await self.made(route.service, part[1:-1], customer)
                path = path.replace(part, made.id)
        path = path.replace("{workspace_id}", customer.workspace_id)
        body = BODIES.get(name)
        return path, None if body is None else await body(self.world, customer, made)


@asynccontextmanager
async def front(
    service_database: ServiceDatabases,
    trust: Trust,
    directory: Path,
    *,
    services: dict[str, dict[str, Any]] | None = None,
    **limits: Any,
) -> AsyncIterator[Front]:
    """`limits` are settings of the gateway; without them its rate limit is out of the way, and so is what it does to
    those whose requests look like attacks: the product has to stand without. `services` has settings of
    services that are not as everywhere else."""
    fields: dict[str, Any] = {"public_url": ORIGIN, "filter_action": "observe", **limits}
    whole = stage(service_database, trust, directory, services=services, documented=True, **fields)
    async with whole as made:
        transport = httpx.ASGITransport(app=made.gateway)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, timeout=30) as client:
            opened = Front(made.world, made.gateway, client)
            await opened.learn()
            yield opened


def neighbour(identifier: str, step: int = 1) -> str:
    """The id that comes next: what somebody who counts would try."""
    prefix, _, digits = identifier.partition("_")
    return f"{prefix}_{(int(digits, 16) + step) % (1 << 128):032x}"
