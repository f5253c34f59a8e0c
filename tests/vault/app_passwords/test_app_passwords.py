"""App passwords: named, shown once, on record, revoked one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from argon2 import PasswordHasher

from services.vault.app_passwords import service as app_passwords
from shared.contracts.provisioner_events import MailboxRemoved, ServerDeleted
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace


async def create(workspace: Workspace, mailbox_id: str, name: str = "phone", **more: Any) -> Any:
    body = {"name": name, "reason": "a new phone"}
    more.setdefault("key", new_id("req"))
    return await workspace.post(f"/mailboxes/{mailbox_id}/app-passwords", body, **more)


async def revoke(workspace: Workspace, app_password_id: str, **claims: Any) -> Any:
    return await workspace.delete(f"/app-passwords/{app_password_id}", **claims)


async def listed(workspace: Workspace, mailbox_id: str) -> list[tuple[str, str]]:
    items = (await workspace.get(f"/mailboxes/{mailbox_id}/app-passwords")).raise_for_status().json()["items"]
    return [(item["name"], item["state"]) for item in items]


async def test_each_tool_gets_a_password_of_its_own_beside_the_mailboxs(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox("ada@example-a.test")
    made = [(await create(workspace, mailbox_id, name)).json() for name in ("phone", "tablet")]
    assert {one["username"] for one in made} == {"ada@example-a.test"}
    own, phone, tablet = await workspace.verifiers(mailbox_id)
    assert (own["version"], own["selector"]) == (1, None)
    for verifier, one in zip((phone, tablet), made, strict=True):
        assert verifier["version"] == one["version"]
        assert PasswordHasher().verify(verifier["hash"], one["password"])
        assert one["password"].startswith(verifier["selector"])
        assert len(one["password"]) - len(verifier["selector"]) == 26
    assert made[0]["password"] != made[1]["password"]


async def test_it_is_shown_this_once_uncached_with_its_audit_row(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    first = await create(workspace, mailbox_id, key="once")
    again = await create(workspace, mailbox_id, key="once")
    assert (first.status_code, first.headers["cache-control"]) == (201, "no-store")
    assert again.json() == first.json() | {"password": None}
    row = (await workspace.audit())[-1]
    assert (row["action"], row["target"], row["reason"]) == (
        "vault.app_password.created", mailbox_id, "a new phone",
    )  # fmt: skip
    assert row["data"] == {"app_password_id": first.json()["id"], "name": "phone", "version": 2}
    for table in ("app_password", "secret", "audit_entry", "outbox", "idempotency_key"):
        found = await vault.rows(f"select t::text as row from {table} t")  # noqa: S608 (fixed names)
        assert found
        assert all(first.json()["password"] not in row["row"] for row in found)
    assert await workspace.decrypts() == {}


async def test_the_list_says_what_the_host_accepts(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    phone = (await create(workspace, mailbox_id, "phone")).json()
    assert await listed(workspace, mailbox_id) == [("phone", "pending")]
    await workspace.applied(mailbox_id)
    await create(workspace, mailbox_id, "tablet")
    assert await listed(workspace, mailbox_id) == [("phone", "active"), ("tablet", "pending")]
    assert (await revoke(workspace, phone["id"])).status_code == 202
    assert await listed(workspace, mailbox_id) == [("phone", "revoking"), ("tablet", "pending")]
    await workspace.applied(mailbox_id)
    assert await listed(workspace, mailbox_id) == [("tablet", "active")]


async def test_a_revoked_one_is_destroyed_at_once_and_not_given_to_hosts_again(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    phone, tablet = [(await create(workspace, mailbox_id, name)).json() for name in ("phone", "tablet")]
    await workspace.applied(mailbox_id)
    answer = (await revoke(workspace, phone["id"])).json()
    assert answer["version"] == 4
    assert [v["version"] for v in await workspace.verifiers(mailbox_id)] == [1, tablet["version"]]
    secrets = await vault.rows("select version from secret where owner_id = :m order by 1", m=mailbox_id)
    assert secrets == [{"version": 1}, {"version": tablet["version"]}]
    assert (await revoke(workspace, phone["id"])).status_code == 404
    row = next(row for row in await workspace.audit() if row["action"] == "vault.app_password.revoked")
    assert (row["target"], row["data"]) == (
        phone["id"], {"mailbox_id": mailbox_id, "name": "phone", "version": 4},
    )  # fmt: skip


async def test_a_change_of_the_mailboxs_password_leaves_them_alone(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    phone = (await create(workspace, mailbox_id)).json()
    await workspace.applied(mailbox_id)
    await workspace.post(f"/mailboxes/{mailbox_id}/password", {"reason": "because"}, key=new_id("req"))
    own, app = await workspace.verifiers(mailbox_id)
    assert (own["version"], own["state"], app["version"], app["state"]) == (3, "pending", 2, "current")
    await workspace.applied(mailbox_id)
    assert [v["version"] for v in await workspace.verifiers(mailbox_id)] == [3, phone["version"]]


async def test_reveal_shows_the_mailboxs_own_password_only(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    app = (await create(workspace, mailbox_id)).json()["password"]
    await workspace.applied(mailbox_id)
    assert await workspace.password(mailbox_id) != app


async def test_a_mailbox_has_no_more_than_its_most_also_when_all_are_asked_for_at_once(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_passwords, "MOST", 3)
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    answers = await asyncio.gather(*(create(workspace, mailbox_id, f"tool {n}") for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "too_many_app_passwords"
    first = next(answer.json() for answer in answers if answer.status_code == 201)
    await revoke(workspace, first["id"])
    assert (await create(workspace, mailbox_id)).status_code == 201


async def test_the_end_of_a_mailbox_or_server_is_theirs(vault: Vault) -> None:
    workspace = vault.workspace()
    one, two = await workspace.mailbox("a@example-a.test"), await workspace.mailbox("b@example-a.test")
    stranger = vault.workspace()

    async def owners(table: str, column: str = "mailbox_id") -> list[str]:
        query = f"select {column} as id from {table} where workspace_id = :w order by 1"  # noqa: S608 (fixed names)
        return [row["id"] for row in await vault.rows(query, w=workspace.id)]

    for mailbox_id in (one, two):
        await create(workspace, mailbox_id)
    await vault.bus.deliver(MailboxRemoved(workspace_id=stranger.id, mailbox_id=one))
    assert await owners("app_password") == sorted([one, two])
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=one))
    assert await owners("app_password") == [two]
    await vault.bus.deliver(ServerDeleted(workspace_id=workspace.id, server_id=workspace.server_id))
    assert await owners("app_password") == await owners("secret", "owner_id") == []


async def test_a_name_may_hold_any_character_but_controls(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    assert (await create(workspace, mailbox_id, "Ada's \U0001f4f1")).json()["name"] == "Ada's \U0001f4f1"
    for name in ("", "  ", "a\0b", "a\nb", "x" * 81):
        assert (await create(workspace, mailbox_id, name)).status_code == 422


async def test_it_needs_the_permission_of_its_kind(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    made = (await create(workspace, mailbox_id)).json()
    weak = ("credentials.reveal",)
    assert (await create(workspace, mailbox_id, permissions=weak)).status_code == 403
    assert (await revoke(workspace, made["id"], permissions=weak)).status_code == 403
    path = f"/mailboxes/{mailbox_id}/app-passwords"
    assert (await workspace.get(path, permissions=weak)).status_code == 403
    assert (await workspace.get(f"/mailboxes/{new_id('mbx')}/app-passwords")).status_code == 404
