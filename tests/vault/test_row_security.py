"""The second wall: what the API's role sees depends on the transaction's workspace alone."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.vault.conftest import Vault, Workspace

SCOPED = {
    "data_key": "scope",
    "shredded_scope": "scope",
    "server": "workspace_id",
    "mailbox": "workspace_id",
    "secret": "workspace_id",
    "provider_token": "workspace_id",
    "app_password": "workspace_id",
    "credential_rotation": "workspace_id",
    "rotated_mailbox": "workspace_id",
    "webmail_sign_in": "workspace_id",
    "webmail_opener": "workspace_id",
    "export": "workspace_id",
    "export_page": "workspace_id",
    "decrypt_count": "workspace_id",
    "read_limit": "workspace_id",
    "audit_entry": "workspace_id",
    "audit_head": "workspace_id",
    "idempotency_key": "workspace_id",
}


async def furnished(vault: Vault) -> Workspace:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    await workspace.password(mailbox_id)
    app = {"name": "phone", "reason": "because"}
    (await workspace.post(f"/mailboxes/{mailbox_id}/app-passwords", app, key="k3")).raise_for_status()
    seen = {"actor_id": workspace.owner, "reason": "because"}
    (await workspace.post("/credential-reads/rotate", seen, key="k4")).raise_for_status()
    (await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")).raise_for_status()
    token = {"provider": "cloudflare", "token": "x" * 40, "label": "zone"}
    (await workspace.post("/provider-tokens", token, key="k1")).raise_for_status()
    (await workspace.post("/exports", {"format": "csv", "reason": "because"}, key="k2")).raise_for_status()
    return workspace


async def test_every_table_with_a_workspace_is_forced_behind_row_security(vault: Vault) -> None:
    tables = await vault.rows(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity as walled from pg_class c "
        "join pg_attribute a on a.attrelid = c.oid and a.attname in ('workspace_id', 'scope') "
        "where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace"
    )
    assert {row["relname"] for row in tables} == {*SCOPED, "outbox"}
    assert all(row["walled"] for row in tables)


async def test_the_app_role_sees_its_own_rows_only_and_none_without_a_context(vault: Vault) -> None:
    mine, theirs = await furnished(vault), await furnished(vault)
    for table, column in SCOPED.items():
        async with vault.api_database.transaction(workspace_id=mine.id) as session:
            seen = set(await session.scalars(text(f"select {column} from {table}")))  # noqa: S608
        assert seen == (set() if table == "shredded_scope" else {mine.id}), table
        async with vault.api_database.transaction() as session:
            assert list(await session.scalars(text(f"select 1 from {table}"))) == []  # noqa: S608
    assert theirs.id != mine.id


@pytest.mark.parametrize(
    "statement",
    [
        "insert into server (id, workspace_id) values ('srv_x', :w)",
        "insert into decrypt_count (workspace_id, purpose, count, last_at) values (:w, 'x', 1, now())",
        "insert into data_key (scope, version, state, wrapped, root_key_id, check_value) "
        "values (:w, 1, 'active', '', '', '')",
    ],
)
async def test_the_app_role_cannot_write_for_another_workspace(vault: Vault, statement: str) -> None:
    mine, theirs = vault.workspace(), vault.workspace()
    with pytest.raises(DBAPIError, match="row-level security"):
        async with vault.api_database.transaction(workspace_id=mine.id) as session:
            await session.execute(text(statement), {"w": theirs.id})


async def test_the_app_role_cannot_move_a_row_to_another_workspace(vault: Vault) -> None:
    mine, theirs = await furnished(vault), vault.workspace()
    with pytest.raises(DBAPIError, match="row-level security"):
        async with vault.api_database.transaction(workspace_id=mine.id) as session:
            await session.execute(text("update secret set workspace_id = :w"), {"w": theirs.id})


@pytest.mark.asvs("13.2.2")
async def test_neither_role_may_bypass_row_security(vault: Vault) -> None:
    roles = await vault.rows(
        "select rolname from pg_roles where rolname like 'vault%' and (rolsuper or rolbypassrls)"
    )
    assert roles == []
