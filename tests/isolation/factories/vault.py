"""What the vault holds of a customer, and its key service."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from shared.ids import new_id
from tests.isolation.factories.customers import models_of
from tests.isolation.services import available
from tests.isolation.world import Customer, Made, World


@asynccontextmanager
async def key_service(socket: Path) -> AsyncIterator[None]:
    """The vault's key service, on a real socket, for this process's own uid."""
    if "vault" not in available():
        yield
        return
    keyring = importlib.import_module("services.vault.keyservice.keyring")
    server_kind = importlib.import_module("services.vault.keyservice.server").KeyServer
    root = keyring.new_root_key(datetime.now(UTC))
    store_kind = importlib.import_module("services.vault.keyservice.root_keys").KeyringStore
    server = server_kind(store_kind(keyring.Keyring((root,), root.id)), frozenset({os.geteuid()}))
    listening = await server.listen(socket)
    try:
        yield
    finally:
        listening.close()
        server.disconnect()


async def secret_mailbox(world: World, one: Customer) -> Made:
    """A mailbox with a password, on a host with a webmail key: made by the calls that make them in life."""
    mailbox_id, server_id = new_id("mbx"), new_id("srv")
    address, hostname = f"{secrets.token_hex(4)}@example-a.test", f"s{secrets.token_hex(4)}.mx.sendchief.test"
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        (
            f"/internal/servers/{server_id}/webmail-key",
            {"workspace_id": one.workspace_id, "hostname": hostname},
        ),
        (
            f"/internal/mailboxes/{mailbox_id}",
            {
                "workspace_id": one.workspace_id,
                "server_id": server_id,
                "address": address,
            },
        ),
    )
    for path, body in calls:
        answer = await world.as_service("provisioner", "vault", "PUT", path, one, body)
        assert answer.status == 200, answer.body
    mailboxes, workers = models_of("vault").Secret, world.databases["vault"]
    async with workers.transaction() as session:
        for row in await session.scalars(select(mailboxes).where(mailboxes.owner_id == mailbox_id)):
            row.state = "current"
    return Made(mailbox_id, {"server_id": server_id, "address": address, "hostname": hostname})


async def export(world: World, one: Customer) -> Made:
    import json

    mailbox = await secret_mailbox(world, one)
    body = {"format": "json", "mailbox_ids": [mailbox.id], "reason": "moving house", "main_password": True}
    answer = await world.ask("vault", "POST", f"/v1/workspaces/{one.workspace_id}/exports", one, body)
    assert answer.status == 201, answer.body
    found = json.loads(answer.body)
    return Made(found["id"], {"token": found["token"]})


async def app_password(world: World, one: Customer) -> Made:
    import json

    mailbox = await secret_mailbox(world, one)
    path = f"/v1/workspaces/{one.workspace_id}/mailboxes/{mailbox.id}/app-passwords"
    answer = await world.ask("vault", "POST", path, one, {"name": "phone", "reason": "a new phone"})
    assert answer.status == 201, answer.body
    return Made(json.loads(answer.body)["id"], {"mailbox_id": mailbox.id, **mailbox.extra})


async def provider_token(world: World, one: Customer) -> Made:
    import json

    body = {"provider": "cloudflare", "token": secrets.token_urlsafe(30), "label": "zone"}
    answer = await world.ask("vault", "POST", f"/v1/workspaces/{one.workspace_id}/provider-tokens", one, body)
    assert answer.status == 201, answer.body
    return Made(json.loads(answer.body)["id"])


async def rotation(world: World, one: Customer) -> Made:
    import json

    path = f"/v1/workspaces/{one.workspace_id}/credential-reads/rotate"
    body = {"actor_id": one.account_id, "reason": "a colleague has left"}
    answer = await world.ask("vault", "POST", path, one, body)
    assert answer.status == 202, answer.body
    return Made(json.loads(answer.body)["job_id"])
