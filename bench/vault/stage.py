"""What is measured: a vault as in a stack. PostgreSQL, key service and API are processes of the run's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from services.vault import envelope
from services.vault.keyservice import keyring
from services.vault.models import Server
from services.vault.secret_bytes import SecretBytes
from services.vault.settings import ApiSettings
from services.vault.wiring import build_resources
from shared.bus.relay import asyncpg_arguments
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.database import Postgres, ServiceDatabase, make_database, migrate
from tests.fixtures.identity import Trust, make_trust

ROOT = Path(__file__).parents[2]
CHUNK = 20_000
MAILBOX = ("id", "workspace_id", "server_id", "address", "display_name")
SECRET = (
    "id", "workspace_id", "server_id", "owner_kind", "owner_id", "field", "version", "state", "data_key_version",
    "wrap_nonce", "ciphertext",
)  # fmt: skip


@dataclass
class Stage:
    database: ServiceDatabase
    settings: ApiSettings
    client: httpx.AsyncClient
    trust: Trust
    api_pid: int
    environment: dict[str, str]

    async def customer(self, secrets: int, mailboxes: int) -> Customer:
        """A workspace of so many secrets, of which the first belong to mailboxes; each password is its owner's id.

        Secrets as the vault seals them, in by COPY as the superuser: row security allows it to nobody else.
        """
        customer = Customer(self, [new_id("mbx") for _ in range(mailboxes)])
        store = build_resources(self.settings).mailboxes._store
        api = Database.from_settings(self.settings)
        async with api.transaction(workspace_id=customer.id) as session:
            key = await store._data_keys.for_encryption(session, customer.id)
            session.add(Server(id=customer.server_id, workspace_id=customer.id, hostname="h.example.test"))
        await api.dispose()
        connection = await asyncpg.connect(**asyncpg_arguments(self.database.superuser_url()))
        for start in range(0, secrets, CHUNK):
            numbers = range(start, min(start + CHUNK, secrets))
            owners = [customer.mailboxes[n] if n < mailboxes else new_id("mbx") for n in numbers]
            boxes = [
                customer.mailbox_row(n, owner)
                for n, owner in zip(numbers, owners, strict=True)
                if n < mailboxes
            ]
            await connection.copy_records_to_table("mailbox", records=boxes, columns=MAILBOX)
            rows = [customer.secret_row(owner, key.key, key.version) for owner in owners]
            await connection.copy_records_to_table("secret", records=rows, columns=SECRET)
        await connection.execute("analyze")
        await connection.close()
        return customer


@dataclass
class Customer:
    stage: Stage
    mailboxes: list[str]
    id: str = field(default_factory=lambda: new_id("ws"))
    server_id: str = field(default_factory=lambda: new_id("srv"))

    def mailbox_row(self, number: int, mailbox_id: str) -> tuple[Any, ...]:
        return mailbox_id, self.id, self.server_id, f"m{number}@example-a.test", f"Person {number}"

    def secret_row(self, owner: str, key: SecretBytes, version: int) -> tuple[Any, ...]:
        sealed = envelope.encrypt(
            SecretBytes(owner.encode()), data_key=key, data_key_version=version, binding=self.binding(owner),
            random_bytes=os.urandom,
        )  # fmt: skip
        return (
            new_id("sec"), self.id, self.server_id, "mailbox", owner, "password", 1, "current", version,
            envelope.wrap_nonce(sealed), sealed,
        )  # fmt: skip

    def binding(self, owner: str) -> envelope.Binding:
        return envelope.Binding(self.stage.settings.environment, self.id, "mailbox", owner, "password", 1)

    def kind(self) -> envelope.Kind:
        return envelope.Kind(self.stage.settings.environment, self.id, "mailbox", "password")

    def headers(self, *permissions: str) -> dict[str, str]:
        """Of a person whom nobody has seen before, so that no limit of one person's counts."""
        return self.stage.trust.user("vault", workspace_id=self.id, permissions=permissions)

    def path(self, rest: str) -> str:
        return f"/v1/workspaces/{self.id}{rest}"


@contextlib.asynccontextmanager
async def process(*argv: str, socket: Path, **environment: str) -> AsyncIterator[int]:
    """A Python module as a process, serving on `socket`; its pid."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SC_SOCKET": str(socket), "SC_LOG_LEVEL": "WARNING", **environment},
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while not socket.exists():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.05)
        yield started.pid
    finally:
        started.terminate()
        await started.wait()


@contextlib.asynccontextmanager
async def stage(directory: Path, postgres: Postgres) -> AsyncIterator[Stage]:
    database = make_database(postgres, "vault")
    migrate("vault", database.owner_url)
    trust = make_trust(directory / "keys", directory / "trust")
    key, keys, api = (
        keyring.new_root_key(datetime.now(UTC)),
        directory / "keys.sock",
        directory / "vault.sock",
    )
    keyring.create(directory / "keyring", keyring.Keyring((key,), key.id))
    settings = trust.settings(ApiSettings, "vault", "api", database, key_service_socket=keys)
    shared = {
        "SC_ENVIRONMENT": settings.environment,
        "SC_KEY_SERVICE_SOCKET": str(keys),
        "SC_IDENTITY_TRUST_DIR": str(trust.directory),
    }
    async with (
        process(
            "services.vault.keyservice", socket=keys,
            SC_KEYRING_FILE=str(directory / "keyring"), SC_ALLOWED_UIDS=str(os.geteuid()),
        ),
        process(
            "shared.web.serve", "services.vault.app", socket=api, SC_DATABASE_URL=database.app_url, **shared
        ) as pid,
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(api)), base_url="http://vault", timeout=60
        ) as client,
    ):  # fmt: skip
        yield Stage(database, settings, client, trust, pid, shared)
