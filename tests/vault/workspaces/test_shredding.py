"""auth.workspace.deleted: data keys are destroyed, the rest is deleted, and it is said once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.vault.admin import state_of
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.vault_events import WorkspaceShredded
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace

TABLES = ("secret", "mailbox", "server", "provider_token", "export", "idempotency_key")


async def furnished(vault: Vault) -> tuple[Workspace, str]:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    token = {"provider": "cloudflare", "token": "x" * 40, "label": "zone"}
    (await workspace.post("/provider-tokens", token, key=new_id("req"))).raise_for_status()
    body = {"format": "csv", "reason": "because"}
    (await workspace.post("/exports", body, key=new_id("req"))).raise_for_status()
    return workspace, mailbox_id


async def delete(vault: Vault, workspace: Workspace) -> None:
    await vault.bus.deliver(
        WorkspaceDeleted(workspace_id=workspace.id), subject=workspace.id, aggregate_version=9
    )


async def shredded(vault: Vault, workspace: Workspace) -> list[WorkspaceShredded]:
    return [e for e in await vault.bus.emitted(WorkspaceShredded) if e.workspace_id == workspace.id]


async def test_no_key_material_and_no_row_is_left(vault: Vault) -> None:
    workspace, _ = await furnished(vault)
    await delete(vault, workspace)
    assert await vault.rows(
        "select state, wrapped, check_value from data_key where scope = :w", w=workspace.id
    ) == [{"state": "shredded", "wrapped": None, "check_value": b""}]
    for table in TABLES:
        query = f"select 1 from {table} where workspace_id = :w"  # noqa: S608 (fixed names)
        assert await vault.rows(query, w=workspace.id) == []
    assert await shredded(vault, workspace) == [
        WorkspaceShredded(workspace_id=workspace.id, data_keys=1, secrets=3)
    ]


async def test_the_audit_rows_stay(vault: Vault) -> None:
    workspace, _ = await furnished(vault)
    before = await workspace.audit()
    await delete(vault, workspace)
    after = await workspace.audit()
    assert after[: len(before)] == before
    assert after[-1]["action"] == "vault.workspace.shredded"


async def test_a_dump_from_before_opens_nothing_afterwards(vault: Vault) -> None:
    """The ciphertext put back by hand is dead: its data key is gone."""
    workspace, mailbox_id = await furnished(vault)
    dump, name = vault.database.postgres.psql, vault.database.name
    dump("create table kept as table secret; create table kept_box as table mailbox;", name)
    await delete(vault, workspace)
    for table, kept, key in (("secret", "kept", "owner_id"), ("mailbox", "kept_box", "id")):
        back = f"insert into {table} select * from {kept} where {key} = '{mailbox_id}'"  # noqa: S608 (fixed names)
        dump(f"{back}; drop table {kept}", name)
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "from a backup"})
    assert (response.status_code, response.json()["code"]) == (410, "workspace_shredded")
    assert (await workspace.audit())[-1]["outcome"] == "denied"


async def test_other_workspaces_are_untouched(vault: Vault) -> None:
    workspace, _ = await furnished(vault)
    other, kept = await furnished(vault)
    password = await other.password(kept)
    await delete(vault, workspace)
    assert await other.password(kept) == password


async def test_it_is_said_once_however_often_it_is_asked(vault: Vault) -> None:
    workspace, _ = await furnished(vault)
    for _ in range(3):
        await delete(vault, workspace)
    assert len(await shredded(vault, workspace)) == 1


async def test_a_workspace_that_stored_nothing_is_ended_too(vault: Vault) -> None:
    workspace = vault.workspace()
    await delete(vault, workspace)
    assert await shredded(vault, workspace) == [
        WorkspaceShredded(workspace_id=workspace.id, data_keys=0, secrets=0)
    ]


async def test_nothing_is_stored_for_it_ever_again(vault: Vault) -> None:
    workspace = vault.workspace()
    await delete(vault, workspace)
    response = await workspace.put_mailbox(new_id("mbx"))
    assert (response.status_code, response.json()["code"]) == (410, "workspace_shredded")
    assert await vault.rows("select 1 from data_key where scope = :w", w=workspace.id) == []
    assert await vault.rows("select 1 from secret where workspace_id = :w", w=workspace.id) == []


async def test_writers_at_the_same_time_leave_no_living_key(vault: Vault) -> None:
    for _ in range(5):
        workspace = vault.workspace()
        calls: list[Any] = [workspace.put_mailbox(new_id("mbx"), f"m{n}@example-a.test") for n in range(4)]
        await asyncio.gather(*calls[:2], delete(vault, workspace), *calls[2:])
        assert (
            await vault.rows(
                "select 1 from data_key where scope = :w and state <> 'shredded'", w=workspace.id
            )
            == []
        )


async def test_the_cache_is_emptied(vault: Vault) -> None:
    workspace, _ = await furnished(vault)
    assert workspace.id in vault.resources.cache.scopes()
    await delete(vault, workspace)
    assert workspace.id not in vault.resources.cache.scopes()


async def test_the_operators_view_proves_it(vault: Vault) -> None:
    workspace, _ = await furnished(vault)
    before = await state_of(vault.worker_database, workspace.id)
    assert (before["shredded_at"], before["secrets"]) == (None, 3)
    assert [(k["version"], k["state"], k["has_key_material"]) for k in before["data_keys"]] == [
        (1, "active", True)
    ]
    await delete(vault, workspace)
    after = await state_of(vault.worker_database, workspace.id)
    assert after["shredded_at"] == vault.clock.now().isoformat()
    assert after["secrets"] == 0
    assert [(k["state"], k["has_key_material"]) for k in after["data_keys"]] == [("shredded", False)]


async def test_the_app_role_cannot_undo_it(vault: Vault) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import ProgrammingError

    workspace, _ = await furnished(vault)
    await delete(vault, workspace)
    for statement in ("delete from shredded_scope", "delete from data_key"):
        async with vault.api_database.engine.connect() as connection:
            with pytest.raises(ProgrammingError, match="permission denied"):
                await connection.execute(text(statement))
