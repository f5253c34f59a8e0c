"""By default an export hands out app passwords made for its format, and only once they open the mailboxes."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import pytest
from argon2 import PasswordHasher

from services.vault.exports import service as exports
from shared.ids import new_id
from tests.vault.audit.test_credential_reads import reads
from tests.vault.conftest import Vault, Workspace
from tests.vault.exports.exporting import create, download, ready


async def view(workspace: Workspace, created: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await workspace.get(f"/exports/{created['id']}")).raise_for_status().json()
    return found


def passwords(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {row["address"]: row["password"] for row in csv.DictReader(io.StringIO(answer.text))}


async def tool_of(workspace: Workspace, mailbox_id: str) -> list[tuple[str, str, str]]:
    items = (await workspace.get(f"/mailboxes/{mailbox_id}/app-passwords")).json()["items"]
    return [(item["name"], item["tool"], item["state"]) for item in items]


async def test_the_file_is_there_when_every_server_accepts_its_passwords(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    created = await create(workspace, main_password=False)
    for number, mailbox_id in enumerate(ids):
        assert (await view(workspace, created))["waiting"] == 2 - number
        refused = await download(workspace, created)
        assert (refused.status_code, refused.json()["code"]) == (409, "export_not_ready")
        await workspace.applied(mailbox_id)
    assert (await view(workspace, created))["waiting"] == 0
    exported = passwords(await download(workspace, created))
    for number, mailbox_id in enumerate(ids):
        _, app = await workspace.verifiers(mailbox_id)
        password = exported[f"m{number}@example-a.test"]
        assert PasswordHasher().verify(app["hash"], password)
        assert password != await workspace.password(mailbox_id)
        assert await tool_of(workspace, mailbox_id) == [("Generic CSV", "csv", "active")]
    assert (await download(workspace, created)).status_code == 410


async def test_a_tool_s_password_serves_again_and_another_tool_gets_its_own(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    files = []
    for name in ("csv", "csv", "json"):
        created = await create(workspace, format=name, main_password=False)
        await workspace.applied(mailbox_id)
        files.append((await download(workspace, created)).text)
    assert files[0] == files[1]
    assert [tool for _, tool, _ in await tool_of(workspace, mailbox_id)] == ["csv", "json"]
    assert passwords_of_json(files[2]) != passwords_of_csv(files[0])


def passwords_of_csv(text: str) -> list[str]:
    return [row["password"] for row in csv.DictReader(io.StringIO(text))]


def passwords_of_json(text: str) -> list[str]:
    import json

    return [row["password"] for row in json.loads(text)]


async def test_ten_exports_at_once_make_one_password_for_each_mailbox(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    await asyncio.gather(*(create(workspace, main_password=False) for _ in range(10)))
    for mailbox_id in ids:
        assert len(await tool_of(workspace, mailbox_id)) == 1


async def test_a_revoked_one_is_not_exported_and_the_next_export_makes_another(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    first = await create(workspace, main_password=False)
    await workspace.applied(mailbox_id)
    (item,) = (await workspace.get(f"/mailboxes/{mailbox_id}/app-passwords")).json()["items"]
    assert (await workspace.delete(f"/app-passwords/{item['id']}")).status_code == 202
    assert (await download(workspace, first)).json()["code"] == "export_not_ready"
    second = await create(workspace, main_password=False)
    await workspace.applied(mailbox_id)
    assert len(passwords(await download(workspace, second))) == 1
    assert len(await tool_of(workspace, mailbox_id)) == 1


async def test_what_was_handed_out_is_in_the_report_and_revoked_by_one_call(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    colleague = new_id("usr")
    created = await create(workspace, main_password=False)
    await workspace.applied(mailbox_id)
    passwords(await download(workspace, created, account_id=colleague))
    (row,) = await reads(workspace)
    assert (row["actor_id"], row["password_valid"], len(row["app_password_ids"])) == (colleague, False, 1)
    body = {"actor_id": colleague, "reason": "has left"}
    accepted = (await workspace.post("/credential-reads/rotate", body, key=new_id("req"))).json()
    assert (accepted["passwords"], accepted["app_passwords"]) == (0, 1)
    await workspace.applied(mailbox_id)
    assert len(await workspace.verifiers(mailbox_id)) == 1
    assert (await reads(workspace))[0]["still_valid"] is False


async def test_it_is_on_record_which_kind_was_asked_for(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    await create(workspace, main_password=False, mailbox_ids=ids[:1])
    row = (await workspace.audit())[-1]
    assert row["data"] == {"format": "csv", "mailboxes": 1, "main_password": False, "new_app_passwords": 1}


async def test_so_many_new_ones_at_once_are_refused(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST_NEW_PASSWORDS", 1)
    workspace, ids = await ready(vault)
    body = {"format": "csv", "reason": "because"}
    answer = await workspace.post("/exports", body, key=new_id("req"))
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_new_passwords")
    assert await tool_of(workspace, ids[0]) == []
    own = await workspace.post("/exports", body | {"main_password": True}, key=new_id("req"))
    assert own.status_code == 201
