"""The vault in one process: its API and handlers on a real database, its key service on a real socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.vault.app import create_app
from services.vault.bindings import BINDINGS
from services.vault.keyservice.keyring import Keyring, new_root_key
from services.vault.keyservice.root_keys import KeyringStore
from services.vault.keyservice.server import KeyServer
from services.vault.settings import ApiSettings, WorkerSettings
from services.vault.wiring import Resources, build_resources
from shared.bus.testing import RecordingBus
from shared.clock import FixedClock
from shared.contracts.provisioner_events import MailboxCredentialApplied
from shared.contracts.vault_api import MailboxSecretResponse
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase, ServiceDatabases
from tests.fixtures.identity import Trust

EVERYTHING = (
    "credentials.reveal",
    "credentials.export",
    "webmail.open",
    "provider_tokens.write",
    "provider_tokens.read",
    "audit.read",
    "credentials.change",
    "app_passwords.read",
)


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Returns when the condition holds; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (it is another process's state)
            await asyncio.sleep(0.02)


@dataclass
class Keys:
    """The key service, which a test may stop and start."""

    socket: Path
    server: KeyServer
    listening: Any = None

    async def start(self) -> None:
        self.listening = await self.server.listen(self.socket)

    async def stop(self) -> None:
        if self.listening is not None:
            self.listening.close()
            self.server.disconnect()
            self.listening = None
            self.socket.unlink(missing_ok=True)


@dataclass
class Workspace:
    """One customer: requests as its owner, and calls of other services for it."""

    vault: Vault
    id: str = field(default_factory=lambda: new_id("ws"))
    server_id: str = field(default_factory=lambda: new_id("srv"))
    owner: str = field(default_factory=lambda: new_id("usr"))
    permissions: tuple[str, ...] = EVERYTHING

    @property
    def hostname(self) -> str:
        return f"s{self.server_id[-8:]}.mx.sendchief.test"

    def headers(self, **claims: Any) -> dict[str, str]:
        claims.setdefault("permissions", self.permissions)
        claims.setdefault("account_id", self.owner)
        return self.vault.trust.user("vault", workspace_id=self.id, **claims)

    async def post(
        self, path: str, body: Any = None, *, key: str | None = None, **claims: Any
    ) -> httpx.Response:
        headers = self.headers(**claims) | ({"Idempotency-Key": key} if key else {})
        return await self.vault.client.post(f"/v1/workspaces/{self.id}{path}", json=body, headers=headers)

    async def get(self, path: str, **claims: Any) -> httpx.Response:
        return await self.vault.client.get(f"/v1/workspaces/{self.id}{path}", headers=self.headers(**claims))

    def service(self, name: str) -> dict[str, str]:
        return self.vault.trust.service(name, "vault", workspace_id=self.id)

    async def put_mailbox(
        self,
        mailbox_id: str,
        address: str = "ada@example-a.test",
        *,
        server_id: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        body = {"workspace_id": self.id, "server_id": server_id or self.server_id, "address": address} | more
        return await self.vault.client.put(
            f"/internal/mailboxes/{mailbox_id}", json=body, headers=self.service("provisioner")
        )

    async def put_webmail_key(
        self, *, server_id: str | None = None, rekey: bool = False, hostname: str | None = None
    ) -> httpx.Response:
        body = {"workspace_id": self.id, "hostname": hostname or self.hostname, "rekey": rekey}
        return await self.vault.client.put(
            f"/internal/servers/{server_id or self.server_id}/webmail-key",
            json=body,
            headers=self.service("provisioner"),
        )

    async def mailbox(self, address: str = "ada@example-a.test", *, server_id: str | None = None) -> str:
        """A mailbox with a pending password; its id."""
        mailbox_id = new_id("mbx")
        response = await self.put_mailbox(mailbox_id, address, server_id=server_id)
        MailboxSecretResponse.model_validate(response.raise_for_status().json())
        return mailbox_id

    async def server(self) -> None:
        """The host's name and webmail key."""
        (await self.put_webmail_key()).raise_for_status()

    async def password(self, mailbox_id: str) -> str:
        response = await self.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "in a test"})
        return str(response.raise_for_status().json()["password"])

    async def applied(self, mailbox_id: str, version: int | None = None) -> int:
        """What the provisioner does: fetches the verifiers, and says that the host accepts them."""
        (address,) = await self.vault.rows(
            "select address, server_id from mailbox where id = :m", m=mailbox_id
        )
        if version is None:
            answer = await self.put_mailbox(mailbox_id, address["address"], server_id=address["server_id"])
            version = int(answer.raise_for_status().json()["version"])
        event = MailboxCredentialApplied(workspace_id=self.id, mailbox_id=mailbox_id, version=version)
        await self.vault.bus.deliver(event, subject=mailbox_id)
        return version

    async def verifiers(self, mailbox_id: str) -> list[dict[str, Any]]:
        (row,) = await self.vault.rows("select address, server_id from mailbox where id = :m", m=mailbox_id)
        answer = await self.put_mailbox(mailbox_id, row["address"], server_id=row["server_id"])
        found: list[dict[str, Any]] = answer.raise_for_status().json()["verifiers"]
        return found

    async def delete(self, path: str, **claims: Any) -> httpx.Response:
        return await self.vault.client.delete(
            f"/v1/workspaces/{self.id}{path}", headers=self.headers(**claims)
        )

    async def audit(self) -> list[dict[str, Any]]:
        """The chain, oldest first."""
        return await self.vault.rows(
            "select action, target, outcome, reason, data, actor_kind, actor_id from audit_entry "
            "where workspace_id = :w order by sequence",
            w=self.id,
        )

    async def decrypts(self) -> dict[str, int]:
        found = await self.vault.rows(
            "select purpose, count from decrypt_count where workspace_id = :w", w=self.id
        )
        return {row["purpose"]: row["count"] for row in found}


@dataclass
class Vault:
    app: FastAPI
    client: httpx.AsyncClient
    resources: Resources
    clock: FixedClock
    keys: Keys
    trust: Trust
    database: ServiceDatabase
    api_database: Database
    worker_database: Database
    bus: RecordingBus
    settings: ApiSettings

    def workspace(self, **fields: Any) -> Workspace:
        return Workspace(self, **fields)

    async def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """What the worker role sees: everything."""
        from sqlalchemy import text

        async with self.worker_database.transaction() as session:
            return [dict(row._mapping) for row in await session.execute(text(sql), values)]

    async def run(self, sql: str, **values: Any) -> None:
        from sqlalchemy import text

        async with self.worker_database.transaction() as session:
            await session.execute(text(sql), values)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every uid can reach, as a stack's are; pytest closes its own to others."""
    made = Path(tempfile.mkdtemp(prefix="sc-vault-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[Keys]:
    root = new_root_key(datetime.now(UTC))
    server = KeyServer(KeyringStore(Keyring((root,), root.id)), frozenset({os.geteuid()}))
    keys = Keys(tmp_path / "keys.sock", server)
    await keys.start()
    yield keys
    await keys.stop()


@pytest.fixture
async def vault(keys: Keys, trust: Trust, service_database: ServiceDatabases) -> AsyncIterator[Vault]:
    database = service_database("vault")
    settings = trust.settings(
        ApiSettings, "vault", "api", database, key_service_socket=keys.socket, database_pool_size=8
    )
    clock = FixedClock(datetime.now(UTC))
    resources = build_resources(settings, clock=clock)
    app = create_app(settings, resources)
    worker = Database.from_settings(
        trust.settings(WorkerSettings, "vault", "worker", database, key_service_socket=keys.socket)
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://vault", timeout=30) as client:
        yield Vault(
            app=app,
            client=client,
            resources=resources,
            clock=clock,
            keys=keys,
            trust=trust,
            database=database,
            api_database=app.state.database,
            worker_database=worker,
            bus=RecordingBus(worker, BINDINGS, resources),
            settings=settings,
        )
    await app.state.database.dispose()
    await worker.dispose()
