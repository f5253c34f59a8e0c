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


def spellings(secret: str | bytes) -> set[bytes]:
    """How a secret could stand in a text, a dump or an environment."""
    raw = secret.encode() if isinstance(secret, str) else secret
    return {raw, raw.hex().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"=")}


def traces(secrets: dict[str, str | bytes], places: dict[str, bytes]) -> set[tuple[str, str]]:
    """(secret, place) for each that is found."""
    return {
        (name, place)
        for name, secret in secrets.items()
        for place, content in places.items()
        if any(spelling in content for spelling in spellings(secret))
    }


async def everything(running: Running, trust: Trust, workspace_id: str) -> dict[str, str | bytes]:
    """Every route that takes or gives a secret, once right and once with a secret that is wrong; all these secrets."""
    server_id, mailbox_id = new_id("srv"), new_id("mbx")
    provisioner = trust.service("provisioner", "vault", workspace_id=workspace_id)
    permissions = ("credentials.reveal", "credentials.export", "webmail.open", "provider_tokens.write")
    person = trust.user("vault", workspace_id=workspace_id, permissions=permissions)
    transport = httpx.AsyncHTTPTransport(uds=str(running.directory / "run/vault.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://vault", timeout=60) as client:

        async def call(method: str, path: str, body: object, headers: dict[str, str]) -> httpx.Response:
            if path.startswith("/internal"):
                return (await client.request(method, path, json=body, headers=headers)).raise_for_status()
            url = f"/v1/workspaces/{workspace_id}{path}"
            return await client.request(
                method, url, json=body, headers={**headers, "Idempotency-Key": new_id("req")}
            )

        host = {"workspace_id": workspace_id, "hostname": "s1.mx.sendchief.test"}
        box = {"workspace_id": workspace_id, "server_id": server_id, "address": "ada@example-a.test"}
        key = (await call("PUT", f"/internal/servers/{server_id}/webmail-key", host, provisioner)).json()[
            "key"
        ]
        await call("PUT", f"/internal/mailboxes/{mailbox_id}", box, provisioner)
        password = (
            await call("POST", f"/mailboxes/{mailbox_id}/reveal", {"reason": "because"}, person)
        ).json()
        webmail = (await call("POST", f"/mailboxes/{mailbox_id}/webmail-sessions", {}, person)).json()
        link = (
            await call(
                "POST", "/exports", {"format": "csv", "reason": "because", "main_password": True}, person
            )
        ).json()
        wrong_link = "wrong-" + new_id("req")
        refused = await call("POST", f"/exports/{link['id']}/download", {"token": wrong_link}, person)
        file = await call("POST", f"/exports/{link['id']}/download", {"token": link["token"]}, person)
        assert (refused.status_code, file.status_code) == (403, 200)
        assert password["password"] in file.text
        cloudflare, wrong_provider = "cf-" + new_id("req"), "no-such-" + new_id("req")
        kept = {"provider": "cloudflare", "token": cloudflare, "label": "zone"}
        stored = await call("POST", "/provider-tokens", kept, person)
        unknown = await call(
            "POST", "/provider-tokens", kept | {"provider": "x", "token": wrong_provider}, person
        )
        assert (stored.status_code, unknown.status_code) == (201, 422)
        dns = trust.service("dns", "vault", workspace_id=workspace_id)
        path = f"/internal/provider-tokens/{stored.json()['id']}?workspace_id={workspace_id}"
        assert (await call("GET", path, None, dns)).json()["token"] == cloudflare
    return {
        "mailbox password": password["password"], "webmail key": key, "webmail token": webmail["token"],
        "export token": link["token"], "wrong export token": wrong_link, "provider token": cloudflare,
        "refused provider token": wrong_provider, "root key": running.root_keys.root,
        **{f"identity token {n}": next(iter(h.values())) for n, h in enumerate((provisioner, person, dns))},
        "identity key": trust.key_file("gateway").read_bytes().splitlines()[1],
    }  # fmt: skip


@pytest.mark.asvs("16.2.5")
async def test_no_secret_that_was_made_is_in_the_dump_the_logs_argv_or_the_environment(
    running: Running, trust: Trust
) -> None:
    workspace_id = new_id("ws")
    secrets = await everything(running, trust, workspace_id)
    places = {name: (running.directory / name).read_bytes() for name in ("api.log", "keys.log")}
    for name, process in (("api", running.api), ("keys", running.keys)):
        for file in ("cmdline", "environ"):
            places[f"{name} {file}"] = await asyncio.to_thread(Path(f"/proc/{process.pid}/{file}").read_bytes)
    places["dump"] = await dump(
        running.database
    )  # events in the outbox, kept answers and audit rows among it
    assert traces(secrets, places) == set()
    # The search looks where something is, and finds what is there.
    assert all(len(content) > 20 for content in places.values())
    assert {place for _, place in traces({"": workspace_id}, places)} == {"api.log", "keys.log", "dump"}
    planted = {
        place: content + secrets["mailbox password"].encode().hex().encode()
        for place, content in places.items()
    }
    assert {place for _, place in traces(secrets, planted)} == set(places)
