"""All services as processes, each part of which can be taken away: APIs, auth's worker, gateway, broker, key service
and, behind a door of its own, each service's database."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from infra.local.databases import SERVICES
from services.auth.access_tokens import AccessTokens
from services.auth.bindings import BINDINGS
from shared.clock import SystemClock
from shared.ids import new_id
from tests.fixtures.bus import Rabbit, signal_broker
from tests.fixtures.database import ServiceDatabase, ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fixtures.processes import PUBLIC_URL, Processes, identity_processes
from tests.fixtures.revocation import UNLIMITED
from tests.isolation import factories
from tests.isolation.world import Customer, World, world

APIS = ("vault", "provisioner", "dns", "reputation")
STRIPE_IS_AWAY = "https://127.0.0.1:1"


class Door:
    """A unix socket through which one service reaches its database. Shut, there is no database."""

    def __init__(self, directory: Path, database: ServiceDatabase) -> None:
        self._socket = directory / ".s.PGSQL.5432"
        directory.mkdir()
        self._behind = database.postgres.cluster.socket_dir / ".s.PGSQL.5432"
        self._server: asyncio.AbstractServer | None = None
        self._through: set[asyncio.StreamWriter] = set()
        old, new = f"host={database.postgres.cluster.socket_dir}", f"host={directory}"
        self.database = replace(
            database,
            app_url=database.app_url.replace(old, new),
            worker_url=database.worker_url.replace(old, new),
        )

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass, self._socket)
        self._socket.chmod(0o777)

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.unlink(missing_ok=True)
        for writer in tuple(self._through):
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(self._behind)
        both = (writer, outer)
        self._through.update(both)
        try:
            await asyncio.gather(_copy(reader, outer), _copy(inner, writer))
        finally:
            self._through.difference_update(both)
            for one in both:
                one.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@dataclass
class Whole:
    """`owners` has customers whom the gateway knows; each may be spent once."""

    processes: Processes
    doors: dict[str, Door]
    rabbit: Rabbit
    world: World
    gateway: httpx.AsyncClient
    owners: list[Customer]
    sessions: dict[str, str]
    tokens: AccessTokens = field(repr=False)

    def headers(self, one: Customer) -> dict[str, str]:
        """As the customer's owner, signed in just now."""
        token = self.tokens.issue(
            account_id=one.account_id,
            session_id=self.sessions[one.account_id],
            authenticated_at=datetime.now(UTC),
        )
        return {"Authorization": f"Bearer {token}", "Idempotency-Key": new_id("evt")}

    # -- taking away and bringing back ---------------------------------------------------------------------

    async def take(self, what: str) -> None:
        kind, _, name = what.partition(" ")
        if kind == "database":
            await self.doors[name].shut()
        elif kind == "broker":
            signal_broker(self.rabbit.node, signal.SIGKILL)
        else:
            await self.processes.kill(name)

    async def bring_back(self, what: str) -> None:
        kind, _, name = what.partition(" ")
        if kind == "database":
            await self.doors[name].open()
        elif kind == "broker":
            await asyncio.to_thread(self.rabbit.node.start, list(self.rabbit.users.values()))
        else:
            await self.processes.again(name)

    async def trusted(self, wanted: bool) -> None:
        """Returns when the gateway believes what it remembers, or no longer does."""
        async with asyncio.timeout(90):
            while await self._fresh() != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _fresh(self) -> bool:
        return "sc_gateway_authority_fresh 1.0" in (await self.gateway.get("/metrics")).text


async def _admit(made: World, owners: list[Customer]) -> dict[str, str]:
    """Accounts, workspaces and a session each. Returns account → session."""
    models = factories.customers.models_of("auth")
    for one in owners:
        await factories.customers.admit(made, one)
    sessions = {one.account_id: new_id("ses") for one in owners}
    now, later = factories.customers.NOW, factories.customers.LATER
    await made.add(
        "auth",
        *(
            models.Session(
                id=session_id, account_id=account_id, created_at=now, authenticated_at=now,
                idle_expires_at=later, expires_at=later,
            )
            for account_id, session_id in sessions.items()
        ),
    )  # fmt: skip
    return sessions


@asynccontextmanager
async def whole_stack(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, directory: Path, customers: int
) -> AsyncIterator[Whole]:
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(world(service_database, trust, directory))
        owners = [factories.customers.customer(f"C{number}") for number in range(customers)]
        sessions = await _admit(made, owners)
        await rabbit.declare(BINDINGS)
        doors = {}
        for name in SERVICES:
            doors[name] = Door(directory / f"door-{name}", service_database(name))
            await doors[name].open()
            stack.push_async_callback(doors[name].shut)
        processes = await stack.enter_async_context(
            identity_processes(
                directory, trust, doors["auth"].database,
                {name: rabbit.url(name) for name in ("auth", "gateway")},
                gateway_environment=UNLIMITED, log_level="WARNING",
            )
        )  # fmt: skip
        for name in APIS:
            environment, secrets = told(name, directory)
            await processes.start(
                name,
                ["shared.web.serve", f"services.{name}.app"],
                {"SC_SERVICE": name, "SC_ROLE": "api", "SC_LOG_LEVEL": "WARNING", **environment},
                sc_database_url=doors[name].database.app_url,
                **secrets,
            )
        await processes.ready(*APIS)
        access_key = (processes.secrets("auth") / "access_key").read_bytes()
        gateway = await stack.enter_async_context(processes.client("gateway"))
        yield Whole(
            processes, doors, rabbit, made, gateway, owners, sessions,
            AccessTokens(access_key, PUBLIC_URL, SystemClock()),
        )  # fmt: skip


def told(service: str, directory: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """What a service's API is told beside what every one is: settings, and secrets as files."""
    if service == "vault":
        return {"SC_KEY_SERVICE_SOCKET": str(directory / "keys.sock")}, {}
    if service == "provisioner":
        secrets = {"sc_stripe_checkout_key": "rk_test_x", "sc_stripe_webhook_secret": "whsec_x"}
        return {"SC_STRIPE_URL": STRIPE_IS_AWAY}, secrets
    if service == "dns":
        return {"SC_PLATFORM_ZONE": "sendchief.test", "SC_SPECIAL_USE_NAMES": "invalid"}, {}
    return {}, {}
