"""Key service and API as processes with uids of their own, called as the provisioner calls."""

from __future__ import annotations

import asyncio
import os
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


def start(
    argv: list[str], uid: int, environment: dict[str, str], socket: Path, log: Path
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", *argv],
            cwd=ROOT, user=uid, group=uid, extra_groups=[], stdout=output, stderr=output,
            env={"PATH": os.environ["PATH"], "SC_SOCKET": str(socket), **environment},
        )  # fmt: skip
    deadline = time.monotonic() + 30
    while not socket.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.fixture
def running(tmp_path: Path, trust: Trust, service_database: ServiceDatabases) -> Iterator[Running]:
    for part in (tmp_path, *tmp_path.parents[:2], trust.directory, trust.directory.parent):
        part.chmod(0o755)
    sockets = tmp_path / "run"
    sockets.mkdir(mode=0o777)
    sockets.chmod(0o777)
    key = keyring.new_root_key(SystemClock().now())
    keyring.create(tmp_path / "keyring", keyring.Keyring((key,), key.id), owner=KEYS_UID)
    keys = start(
        ["services.vault.keyservice"], KEYS_UID,
        {"SC_KEYRING_FILE": str(tmp_path / "keyring"), "SC_ALLOWED_UIDS": str(API_UID)},
        sockets / "keys.sock", tmp_path / "keys.log",
    )  # fmt: skip
    api = start(
        ["shared.web.serve", "services.vault.app"], API_UID,
        {
            "SC_DATABASE_URL": service_database("vault").app_url,
            "SC_KEY_SERVICE_SOCKET": str(sockets / "keys.sock"),
            "SC_IDENTITY_TRUST_DIR": str(trust.directory),
        },
        sockets / "vault.sock", tmp_path / "api.log",
    )  # fmt: skip
    yield Running(tmp_path, api, keys)
    for process in (api, keys):
        process.terminate()
    for process in (api, keys):
        process.wait(15)


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
