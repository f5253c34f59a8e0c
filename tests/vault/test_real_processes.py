"""Key service and API as processes with uids of their own, called as the provisioner calls."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.local.postgres import SUPERUSER, binaries
from services.vault.envelope import Binding
from services.vault.keyservice import keyring
from services.vault.ports import KeyContext
from services.vault.settings import ApiSettings
from shared.clock import SystemClock
from shared.contracts.vault_api import MailboxSecretResponse
from shared.http import InternalClient
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase, ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fixtures.kms import serving
from tests.vault.loot import Sealed, key_in

ROOT = Path(__file__).parents[2]
API_UID, KEYS_UID = 54400, 54401

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing uids takes root")


@dataclass
class RootKeys:
    environment: dict[str, str]
    file: Path
    secret: bytes
    """What opens everything: in the file, and nowhere else."""
    root: bytes
    header: int
    """Bytes before the nonce of a wrapped data key."""


@dataclass
class Running:
    directory: Path
    api: subprocess.Popen[bytes]
    keys: subprocess.Popen[bytes]
    root_keys: RootKeys
    database: ServiceDatabase


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
async def root_keys(request: pytest.FixtureRequest, open_directory: Path) -> AsyncIterator[RootKeys]:
    """In a keyring, or with "transit" in a KMS: a file that only the key service's uid may read."""
    if getattr(request, "param", "keyring") == "keyring":
        key = keyring.new_root_key(SystemClock().now())
        file = open_directory / "keyring"
        keyring.create(file, keyring.Keyring((key,), key.id), owner=KEYS_UID)
        yield RootKeys(
            {"SC_KEYRING_FILE": str(file)}, file, base64.b64encode(key.key.reveal()), key.key.reveal(), 1
        )
        return
    async with serving(open_directory / "kms") as kms:
        made = kms.transit_books.create("", kms.transit_key, "aes256-gcm96")
        token, authority = open_directory / "token", open_directory / "authority.pem"
        shutil.copy(kms.ca_file, authority)
        authority.chmod(0o644)
        token.write_text(kms.transit_token)
        token.chmod(0o600)
        os.chown(token, KEYS_UID, -1)
        environment = {
            "SC_ROOT_KEYS": "transit", "SC_TRANSIT_URL": kms.transit_url, "SC_TRANSIT_KEY": kms.transit_key,
            "SC_TRANSIT_TOKEN_FILE": str(token), "SC_KMS_CA_FILE": str(authority), "SC_KMS_TIMEOUT_SECONDS": "20",
        }  # fmt: skip
        root = bytes.fromhex(made["material"]["1"]["key"])
        yield RootKeys(environment, token, kms.transit_token.encode(), root, 0)


@pytest.fixture
def running(
    open_directory: Path, trust: Trust, service_database: ServiceDatabases, root_keys: RootKeys
) -> Iterator[Running]:
    database = service_database("vault")
    public = shutil.copytree(trust.directory, open_directory / "trust")
    public.chmod(0o755)
    sockets = open_directory / "run"
    sockets.mkdir(mode=0o777)
    sockets.chmod(0o777)
    with contextlib.ExitStack() as started:
        keys = started.enter_context(
            process(
                ["services.vault.keyservice"], KEYS_UID,
                {"SC_ALLOWED_UIDS": str(API_UID), **root_keys.environment},
                sockets / "keys.sock", open_directory / "keys.log",
            )
        )  # fmt: skip
        api = started.enter_context(
            process(
                ["shared.web.serve", "services.vault.app"], API_UID,
                {
                    "SC_DATABASE_URL": database.app_url,
                    "SC_KEY_SERVICE_SOCKET": str(sockets / "keys.sock"),
                    "SC_KEY_SERVICE_TIMEOUT_SECONDS": "30",
                    "SC_IDENTITY_TRUST_DIR": str(public),
                },
                sockets / "vault.sock", open_directory / "api.log",
            )
        )  # fmt: skip
        yield Running(open_directory, api, keys, root_keys, database)


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


READ_ALL = """
import os, sys
for directory, _, names in os.walk(sys.argv[1]):
    for name in names:
        try:
            with open(os.path.join(directory, name), "rb") as file:
                sys.stdout.buffer.write(file.read())
        except OSError:
            pass  # not for this uid, or a socket
"""


async def read_as(uid: int, directory: Path) -> bytes:
    """All that this uid can read there."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-B", "-c", READ_ALL, str(directory)],
        user=uid, group=uid, extra_groups=[], capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


async def dump(database: ServiceDatabase) -> bytes:
    """All rows, as the cluster's superuser sees them."""
    cluster = database.postgres.cluster
    argv = [binaries() / "pg_dump", "-h", cluster.socket_dir, "-U", SUPERUSER, "--data-only", database.name]
    environment = {"PGPASSWORD": cluster.superuser_password, "PATH": os.environ["PATH"]}
    done = await asyncio.to_thread(subprocess.run, argv, env=environment, capture_output=True, check=True)
    return done.stdout


async def revealed(running: Running, trust: Trust, workspace_id: str, mailbox_id: str) -> str:
    headers = trust.user("vault", workspace_id=workspace_id, permissions=("credentials.reveal",))
    transport = httpx.AsyncHTTPTransport(uds=str(running.directory / "run/vault.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://vault", timeout=60) as client:
        url = f"/v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/reveal"
        answer = await client.post(url, json={"reason": "in a test"}, headers=headers)
    return str(answer.raise_for_status().json()["password"])


@pytest.mark.asvs("13.3.2")
@pytest.mark.parametrize("root_keys", ["keyring", "transit"], indirect=True)
async def test_the_database_with_the_files_and_the_environment_of_the_vault_opens_nothing(
    running: Running, trust: Trust
) -> None:
    """While the API runs and has just decrypted: the dump, all that its uid can read, and what root sees of it."""
    workspace_id, server_id, mailbox_id = new_id("ws"), new_id("srv"), new_id("mbx")
    settings = trust.settings(
        ApiSettings, "provisioner", "worker", services_dir=running.directory / "run",
        key_service_socket=running.directory / "none",
    )  # fmt: skip
    client = InternalClient(settings, callee="vault")
    body = {"workspace_id": workspace_id, "server_id": server_id, "address": "ada@example-a.test"}
    await client.request("PUT", f"/internal/mailboxes/{mailbox_id}", workspace_id=workspace_id, json=body)
    await client.aclose()
    password = await revealed(running, trust, workspace_id, mailbox_id)

    process = Path(f"/proc/{running.api.pid}")
    seen = [(process / name).read_bytes() for name in ("environ", "cmdline", "maps", "limits", "status")]
    loot = b"\n".join([await dump(running.database), await read_as(API_UID, running.directory), *seen])
    query = f"""select encode(wrapped, 'hex'), encode(ciphertext, 'hex'), s.version from data_key, secret s
        where scope = workspace_id and scope = '{workspace_id}'"""  # noqa: S608 (an id that was made here)
    rows = running.database.postgres.psql(query, running.database.name)
    wrapped, ciphertext, version = rows.strip().split("|")
    assert wrapped.encode() in loot  # the thief has what he would open
    assert ciphertext.encode() in loot
    assert b"SC_DATABASE_URL" in loot

    assert password.encode() not in loot
    assert running.root_keys.secret not in loot
    assert running.root_keys.secret in running.root_keys.file.read_bytes()
    assert running.root_keys.secret in await read_as(KEYS_UID, running.directory)
    binding = Binding("production", workspace_id, "mailbox", mailbox_id, "password", int(version))
    secret = Sealed.of_secret(bytes.fromhex(ciphertext), binding)
    sealed = bytes.fromhex(wrapped)[running.root_keys.header :]
    data_key = Sealed(sealed[:12], sealed[12:], KeyContext("production", workspace_id, 1).encode())
    assert not key_in(loot, secret)
    assert not key_in(loot, data_key)
    # With the root key, which he has not, the same search finds the way down to the password's key.
    assert key_in(b"..." + running.root_keys.root + b"...", data_key)
    opened = AESGCM(running.root_keys.root).decrypt(data_key.nonce, data_key.ciphertext, data_key.associated)
    assert key_in(loot + base64.b64encode(opened), secret)
