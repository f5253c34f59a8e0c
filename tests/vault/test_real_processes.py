"""Key service and API as processes with uids of their own, called as the provisioner calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.vault.keyservice import keyring
from services.vault.settings import ApiSettings
from shared.clock import SystemClock
from shared.contracts.vault_api import MailboxSecretResponse
from shared.http import InternalClient
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust

ROOT = Path(__file__).parents[2]
API_UID, KEYS_UID = 54400, 54401

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing uids takes root")


@dataclass
class Running:
    directory: Path
    api: subprocess.Popen[bytes]
    keys: subprocess.Popen[bytes]


@contextlib.contextmanager
def process(
    argv: list[str], uid: int, environment: dict[str, str], socket: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs until the end of the block, under its own uid, and serves when the block begins."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-B", "-m", *argv],
            cwd=ROOT, user=uid, group=uid, extra_groups=[], stdout=output, stderr=output,
            env={"PATH": os.environ["PATH"], "SC_SOCKET": str(socket), **environment},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert started.poll() is None, f"{argv} ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{argv} does not serve:\n{log.read_text()}"
            time.sleep(0.05)
        yield started
    finally:
        started.terminate()
        started.wait(15)


@pytest.fixture
def running(open_directory: Path, trust: Trust, service_database: ServiceDatabases) -> Iterator[Running]:
    public = shutil.copytree(trust.directory, open_directory / "trust")
    public.chmod(0o755)
    sockets = open_directory / "run"
    sockets.mkdir(mode=0o777)
    sockets.chmod(0o777)
    key = keyring.new_root_key(SystemClock().now())
    keyring.create(open_directory / "keyring", keyring.Keyring((key,), key.id), owner=KEYS_UID)
    with contextlib.ExitStack() as started:
        keys = started.enter_context(
            process(
                ["services.vault.keyservice"], KEYS_UID,
                {"SC_KEYRING_FILE": str(open_directory / "keyring"), "SC_ALLOWED_UIDS": str(API_UID)},
                sockets / "keys.sock", open_directory / "keys.log",
            )
        )  # fmt: skip
        api = started.enter_context(
            process(
                ["shared.web.serve", "services.vault.app"], API_UID,
                {
                    "SC_DATABASE_URL": service_database("vault").app_url,
                    "SC_KEY_SERVICE_SOCKET": str(sockets / "keys.sock"),
                    "SC_IDENTITY_TRUST_DIR": str(public),
                },
                sockets / "vault.sock", open_directory / "api.log",
            )
        )  # fmt: skip
        yield Running(open_directory, api, keys)


async def test_the_provisioner_gets_verifiers_and_no_password_is_logged_or_dumped(
    running: Running, trust: Trust
) -> None:
    settings = trust.settings(
        ApiSettings, "provisioner", "worker", services_dir=running.directory / "run",
        key_service_socket=running.directory / "none",
    )  # fmt: skip
    workspace_id, server_id, mailbox_id = new_id("ws"), new_id("srv"), new_id("mbx")
    client = InternalClient(settings, callee="vault")
    try:
        body = {"workspace_id": workspace_id, "server_id": server_id, "address": "ada@example-a.test"}
        answer = await client.request(
            "PUT", f"/internal/mailboxes/{mailbox_id}", workspace_id=workspace_id, json=body
        )
    finally:
        await client.aclose()
    (verifier,) = MailboxSecretResponse.model_validate(answer).verifiers
    assert verifier.version == 1
    for process in (running.api, running.keys):
        limits = await asyncio.to_thread(Path(f"/proc/{process.pid}/limits").read_text)
        assert "Max core file size        0                    0 " in limits
        stolen = await asyncio.to_thread(
            subprocess.run,
            ["cat", f"/proc/{process.pid}/environ"],
            user=API_UID if process is running.api else KEYS_UID,
            capture_output=True,
            check=False,
        )
        assert stolen.returncode != 0  # not dumpable: not even the same uid may look
    logs = (running.directory / "api.log").read_text() + (running.directory / "keys.log").read_text()
    assert verifier.hash not in logs
    assert workspace_id in logs
