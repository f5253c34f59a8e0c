"""No secret is in logs, dumps, arguments or the environment of what runs."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from services.vault.settings import ApiSettings
from shared.contracts.vault_api import MailboxSecretResponse
from shared.http import InternalClient
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.vault.real_processes.processes import API_UID, KEYS_UID, Running, dump

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing uids takes root")


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
    password = secrets["mailbox password"]
    assert isinstance(password, str)
    planted = {place: content + password.encode().hex().encode() for place, content in places.items()}
    assert {place for _, place in traces(secrets, planted)} == set(places)
