"""POST …/mailboxes/{id}/webmail-sessions: a token that the host can check and nobody else can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.vault import envelope
from services.vault.secret_bytes import SecretBytes
from shared.ids import new_id
from tests.vault.conftest import Vault


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def payload(token: str, key: str) -> dict[str, Any]:
    """What a host does: check the MAC over `v1.<payload>`, then read."""
    version, body, mac = token.split(".")
    assert version == "v1"
    expected = hmac.new(unpadded(key), f"v1.{body}".encode(), hashlib.sha256).digest()
    assert hmac.compare_digest(unpadded(mac), expected)
    read: dict[str, Any] = json.loads(unpadded(body))
    return read


async def test_the_token_is_signed_with_the_hosts_key_for_a_minute(vault: Vault) -> None:
    workspace = vault.workspace()
    key = (await workspace.put_webmail_key()).json()["key"]
    mailbox_id = await workspace.mailbox("ada@example-a.test")
    response = await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    opened = response.json()
    assert opened["action_url"] == f"https://{workspace.hostname}/?_task=login&_action=sso"
    claims = payload(opened["token"], key)
    now = int(vault.clock.now().timestamp())
    assert claims == {
        "jti": claims["jti"],
        "sub": "ada@example-a.test",
        "aud": workspace.hostname,
        "iat": now,
        "exp": now + 60,
    }
    assert len(unpadded(claims["jti"])) == 16
    assert int(datetime.fromisoformat(opened["expires_at"]).timestamp()) == now + 60
    assert opened["token"] not in opened["action_url"]


async def test_every_token_has_an_id_of_its_own(vault: Vault) -> None:
    workspace = vault.workspace()
    key = (await workspace.put_webmail_key()).json()["key"]
    mailbox_id = await workspace.mailbox()
    tokens = [
        (await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")).json()["token"] for _ in range(3)
    ]
    assert len({payload(token, key)["jti"] for token in tokens}) == 3


async def test_no_secret_of_a_mailbox_is_opened(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    await workspace.post(f"/mailboxes/{mailbox_id}/app-passwords", {"name": "a", "reason": "b"}, key="one")
    await workspace.password(mailbox_id)
    before = await workspace.decrypts()
    opened: list[bytes] = []
    open_with = envelope.open_with

    def watched(data_keys: Mapping[int, AESGCM], ciphertext: bytes, data: bytes) -> SecretBytes:
        opened.append(data)
        return open_with(data_keys, ciphertext, data)

    def bound_to(owner_kind: str, owner_id: str, field: str) -> bytes:
        kind = envelope.Kind(vault.settings.environment, workspace.id, owner_kind, field)
        return kind.data(owner_id, 1)

    monkeypatch.setattr(envelope, "open_with", watched)
    for _ in range(3):
        (await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")).raise_for_status()
    assert opened == [bound_to("server", workspace.server_id, "webmail_seed")] * 3
    assert before["reveal"] == 1
    assert await workspace.decrypts() == before | {"webmail_sign": 3}
    await workspace.password(mailbox_id)
    assert opened[3:] == [bound_to("mailbox", mailbox_id, "password")]


async def test_issuing_is_on_record(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")
    row = (await workspace.audit())[-1]
    assert (row["action"], row["target"], row["outcome"]) == ("vault.webmail.opened", mailbox_id, "ok")
    assert row["actor_id"] == workspace.owner


async def test_a_rekeyed_host_accepts_only_tokens_of_its_new_key(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    key = (await workspace.put_webmail_key(rekey=True)).json()["key"]
    token = (await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")).json()["token"]
    assert payload(token, key)["aud"] == workspace.hostname


async def test_it_needs_the_permission(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    response = await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions", permissions=())
    assert response.status_code == 403
    assert (await workspace.audit())[-1]["outcome"] == "denied"


async def test_a_host_without_a_key_is_not_ready(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    response = await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")
    assert (response.status_code, response.json()["code"]) == (409, "server_not_ready")


async def test_a_foreign_mailbox_is_not_found(vault: Vault) -> None:
    mailbox_id = await vault.workspace().mailbox()
    workspace = vault.workspace()
    for unknown in (mailbox_id, new_id("mbx")):
        assert (await workspace.post(f"/mailboxes/{unknown}/webmail-sessions")).status_code == 404
