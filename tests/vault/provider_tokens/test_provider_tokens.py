"""Customers' provider tokens go in, and come out for the dns service only."""

from __future__ import annotations

from typing import Any

import pytest

from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace

TOKEN = "cf-" + "Zx9" * 13
NEW = {"provider": "cloudflare", "token": TOKEN, "label": "example-a.test"}


async def add(workspace: Workspace, **change: Any) -> str:
    response = await workspace.post("/provider-tokens", NEW | change, key=new_id("req"))
    assert response.status_code == 201, response.text
    assert TOKEN not in response.text
    return str(response.json()["id"])


async def read(workspace: Workspace, token_id: str, *, caller: str = "dns", of: str | None = None) -> Any:
    return await workspace.vault.client.get(
        f"/internal/provider-tokens/{token_id}",
        params={"workspace_id": of or workspace.id},
        headers=workspace.service(caller),
    )


async def test_dns_reads_what_the_owner_stored(vault: Vault) -> None:
    workspace = vault.workspace()
    response = await read(workspace, await add(workspace))
    assert response.status_code == 200
    assert response.json() == {"provider": "cloudflare", "token": TOKEN}
    assert response.headers["cache-control"] == "no-store"
    assert await workspace.decrypts() == {"provider_token": 1}


async def test_storing_and_reading_are_on_record(vault: Vault) -> None:
    workspace = vault.workspace()
    token_id = await add(workspace)
    await read(workspace, token_id)
    rows = [(r["action"], r["target"], r["actor_kind"]) for r in await workspace.audit()]
    assert rows == [
        ("vault.provider_token.stored", token_id, "user"),
        ("vault.provider_token.read", token_id, "service"),
    ]


async def test_people_see_everything_but_the_token(vault: Vault) -> None:
    workspace = vault.workspace()
    ids = [await add(workspace, label=f"zone {n}") for n in range(3)]
    first = await workspace.get("/provider-tokens?limit=2")
    assert TOKEN not in first.text
    assert [item["id"] for item in first.json()["items"]] == ids[:2]
    assert set(first.json()["items"][0]) == {"id", "provider", "label", "created_by", "created_at"}
    second = await workspace.get(f"/provider-tokens?limit=2&cursor={first.json()['next_cursor']}")
    assert [item["id"] for item in second.json()["items"]] == ids[2:]
    assert second.json()["next_cursor"] is None


async def test_the_token_is_stored_sealed_only(vault: Vault) -> None:
    workspace = vault.workspace()
    await add(workspace)
    for table in ("secret", "provider_token", "idempotency_key", "outbox", "audit_entry"):
        for row in await vault.rows(f"select t::text as row from {table} t"):  # noqa: S608 (fixed names)
            assert TOKEN not in row["row"]
            assert TOKEN.encode().hex() not in row["row"]


async def test_a_repeated_request_stores_one(vault: Vault) -> None:
    workspace = vault.workspace()
    key = new_id("req")
    first = await workspace.post("/provider-tokens", NEW, key=key)
    second = await workspace.post("/provider-tokens", NEW, key=key)
    assert first.json() == second.json()
    assert len((await workspace.get("/provider-tokens")).json()["items"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "route53"},
        {"token": "short"},
        {"token": "with a space in the middle of it"},
        {"token": "x" * 513},
        {"token": "nul\0" * 10},
        {"label": ""},
        {"label": "a\nb"},
        {"label": "x" * 81},
        {"zone": "example-a.test"},
    ],
)
async def test_a_bad_request_never_echoes_the_token(vault: Vault, change: dict[str, Any]) -> None:
    workspace = vault.workspace()
    response = await workspace.post("/provider-tokens", NEW | change, key=new_id("req"))
    assert response.status_code == 422
    assert TOKEN not in response.text
    assert str(change.get("token", "never")) not in response.text
    assert (await workspace.audit())[-1]["outcome"] == "failed"


async def test_four_byte_characters_in_a_label_are_kept(vault: Vault) -> None:
    workspace = vault.workspace()
    await add(workspace, label="zone 🔑")
    assert (await workspace.get("/provider-tokens")).json()["items"][0]["label"] == "zone 🔑"


async def test_permissions(vault: Vault) -> None:
    workspace = vault.workspace()
    response = await workspace.post(
        "/provider-tokens", NEW, key=new_id("req"), permissions=("provider_tokens.read",)
    )
    assert response.status_code == 403
    assert (
        await workspace.get("/provider-tokens", permissions=("provider_tokens.write",))
    ).status_code == 403


@pytest.mark.parametrize("caller", ["provisioner", "gateway", "reputation", "auth"])
async def test_only_dns_may_read(vault: Vault, caller: str) -> None:
    workspace = vault.workspace()
    response = await read(workspace, await add(workspace), caller=caller)
    assert response.status_code == 403
    assert (await workspace.audit())[-1]["outcome"] == "denied"


async def test_the_token_of_another_workspace_is_not_found(vault: Vault) -> None:
    workspace, other = vault.workspace(), vault.workspace()
    token_id = await add(workspace)
    assert (await read(other, token_id)).status_code == 404
    assert (await read(other, token_id, of=workspace.id)).status_code == 403
    assert (await read(other, new_id("ptk"))).status_code == 404
