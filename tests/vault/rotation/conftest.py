"""Rotation beside a key service that is a process with a keyring file; the worker's uid may rotate and open nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.vault import metrics
from services.vault.keyservice import __main__ as command
from services.vault.keyservice import keyring
from services.vault.models import Mailbox
from services.vault.ports import RotatingKeyService
from services.vault.providers.local_key_service import LocalKeyService
from services.vault.rotation.service import Rotation
from services.vault.secret_bytes import SecretBytes
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace

ROOT = Path(__file__).parents[3]
AS_ROOT = os.geteuid() == 0
WORKER_UID = 54402 if AS_ROOT else os.geteuid()


@dataclass
class KeyProcess:
    """The key service as it runs in a stack; this process is the API to it."""

    socket: Path
    keyring: Path
    process: subprocess.Popen[bytes]

    def primary(self) -> str:
        return keyring.load(self.keyring).primary

    async def reload(self) -> None:
        """SIGHUP, and until it holds what the file says."""
        self.process.send_signal(signal.SIGHUP)
        wanted = keyring.load(self.keyring).ids()
        async with asyncio.timeout(10):
            while (await LocalKeyService(self.socket).root_keys()).ids != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def new_root_key(self) -> tuple[str, str]:
        """(old, new) primary, in the running service."""
        old = self.primary()
        assert command.main(["add-key", "--keyring", str(self.keyring)]) == 0
        await self.reload()
        return old, self.primary()


@pytest.fixture
async def keys(open_directory: Path) -> AsyncIterator[KeyProcess]:
    file, socket = open_directory / "keyring", open_directory / "keys.sock"
    assert command.main(["init", "--keyring", str(file)]) == 0
    process = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "services.vault.keyservice"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SC_SOCKET": str(socket),
            "SC_KEYRING_FILE": str(file),
            "SC_ALLOWED_UIDS": str(os.geteuid()),
            "SC_ROTATING_UIDS": str(WORKER_UID),
            "SC_LOG_LEVEL": "WARNING",
        },
    )
    try:
        async with asyncio.timeout(30):
            while not socket.exists():
                assert process.poll() is None
                await asyncio.sleep(0.02)
        yield KeyProcess(socket, file, process)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


@dataclass
class Customer:
    """A workspace with mailboxes whose passwords the test knows."""

    workspace: Workspace
    passwords: dict[str, str]

    @property
    def vault(self) -> Vault:
        return self.workspace.vault

    @property
    def id(self) -> str:
        return self.workspace.id

    async def add(self, count: int) -> list[str]:
        """Mailboxes with a current password each; their ids. No verifiers: those take time and are not at stake."""
        made = {new_id("mbx"): f"password-{len(self.passwords) + n}" for n in range(count)}
        store = self.vault.resources.mailboxes._store
        async with self.vault.api_database.transaction(workspace_id=self.id) as session:
            for mailbox_id, password in made.items():
                session.add(
                    Mailbox(
                        id=mailbox_id, workspace_id=self.id, server_id=self.workspace.server_id,
                        address=f"{mailbox_id[4:].lower()}@example-a.test",
                    )
                )  # fmt: skip
                await store.seal(
                    session, SecretBytes(password.encode()), workspace_id=self.id, owner_kind="mailbox",
                    owner_id=mailbox_id, field="password", version=1, state="current", verifier="none",
                )  # fmt: skip
        self.passwords |= made
        return list(made)

    async def versions(self) -> dict[int, int]:
        """Secrets by the data key that wraps them."""
        rows = await self.vault.rows(
            "select data_key_version v, count(*) n from secret where workspace_id = :w group by 1", w=self.id
        )
        return {row["v"]: row["n"] for row in rows}

    async def keys(self) -> list[tuple[int, str]]:
        rows = await self.vault.rows(
            "select version, state from data_key where scope = :w order by version", w=self.id
        )
        return [(row["version"], row["state"]) for row in rows]

    async def all_open(self) -> bool:
        """Whether each mailbox reveals its own password, with data keys that are fetched anew."""
        self.vault.resources.cache.purge(self.id)
        return all([await self.workspace.password(m) == password for m, password in self.passwords.items()])


@pytest.fixture(autouse=True)
def who_looks_may_look_on(vault: Vault) -> None:
    """Whether everything still opens is seen by revealing it, which one person may do 60 times an hour."""
    vault.resources.mailboxes._limits._per_hour["reveal"] = 10**6


@pytest.fixture
async def customer(vault: Vault) -> Customer:
    return Customer(vault.workspace(), {})


def rotation(vault: Vault, *, batch: int = 10, key_service: RotatingKeyService | None = None) -> Rotation:
    return Rotation(
        vault.worker_database,
        key_service or LocalKeyService(vault.keys.socket),
        environment=vault.settings.environment,
        clock=vault.clock,
        batch=batch,
        rest=0,
    )


def decrypted() -> dict[str, float]:
    """The process's counter of decryptions, by purpose."""
    (counted,) = metrics.DECRYPTED.collect()
    return {s.labels["purpose"]: s.value for s in counted.samples if s.name.endswith("_total")}


async def admin(vault: Vault, arguments: Sequence[str], **environment: str) -> tuple[int, Any]:
    """(exit status, document) of the command, run by the worker's uid."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-B", "-m", "services.vault.admin", *arguments],
        cwd=ROOT,
        user=WORKER_UID if AS_ROOT else None,
        env={
            "PATH": os.environ["PATH"],
            "SC_DATABASE_URL": vault.database.worker_url,
            "SC_SOCKET": "/nonexistent/socket",
            "SC_ENVIRONMENT": vault.settings.environment,
            "SC_KEY_SERVICE_SOCKET": str(vault.keys.socket),
            "SC_IDENTITY_TRUST_DIR": "/nonexistent/trust",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1, -signal.SIGKILL):
        raise RuntimeError(done.stderr)
    return done.returncode, json.loads(done.stdout) if done.stdout else None
