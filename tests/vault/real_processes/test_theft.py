"""Whoever steals all but the root key opens nothing."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.vault.envelope import Binding
from services.vault.ports import KeyContext
from services.vault.settings import ApiSettings
from shared.http import InternalClient
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.vault.loot import Sealed, key_in
from tests.vault.real_processes.processes import API_UID, KEYS_UID, Running, dump, read_as

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing uids takes root")


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
