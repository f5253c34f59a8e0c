"""Who may ask for an export, and for what."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shared.ids import new_id
from tests.vault.conftest import Vault
from tests.vault.exports.exporting import ready


async def test_more_rows_than_the_target_takes_are_refused(vault: Vault) -> None:
    workspace, _ = await ready(vault, 1)
    await vault.run(
        "insert into mailbox (id, workspace_id, server_id, address) "
        "select 'mbx_' || md5(n::text || :w), :w, :s, 'x' || n || '@example-a.test' from generate_series(1, 200) n",
        w=workspace.id,
        s=workspace.server_id,
    )
    body = {"format": "woodpecker", "reason": "because"}
    response = await workspace.post("/exports", body, key=new_id("req"))
    assert (response.status_code, response.json()["code"]) == (422, "too_many_for_format")
    assert response.json()["next_action"] == "Name at most 200 mailboxes in each export."


async def test_a_repeated_request_makes_no_second_link(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    body, key = {"format": "csv", "reason": "twice"}, new_id("req")
    first = await workspace.post("/exports", body, key=key)
    second = await workspace.post("/exports", body, key=key)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.json() == first.json() | {"token": None}
    assert first.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("claims", "status"),
    [({"permissions": ("credentials.reveal",)}, 403), ({"auth_time": int(time.time()) - 301}, 401)],
)
async def test_creating_needs_the_permission_and_a_fresh_sign_in(
    vault: Vault, claims: dict[str, Any], status: int
) -> None:
    workspace, _ = await ready(vault)
    response = await workspace.post(
        "/exports", {"format": "csv", "reason": "because"}, key=new_id("req"), **claims
    )
    assert response.status_code == status
    row = (await workspace.audit())[-1]
    assert (row["action"], row["outcome"]) == ("vault.export.created", "denied")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "xlsx"},
        {"reason": "x"},
        {"mailbox_ids": []},
        {"mailbox_ids": ["nonsense"]},
        {"mailbox_ids": [new_id("mbx")] * 10_001},
        {"columns": ["password"]},
        {"reason": "nul \0 byte"},
        {"reason": "half \ud83d pair"},
    ],
)
async def test_a_bad_request_is_refused_with_one_audit_row(vault: Vault, change: dict[str, Any]) -> None:
    workspace, _ = await ready(vault, 1)
    before = len(await workspace.audit())
    body = json.dumps({"format": "csv", "reason": "because"} | change)
    response = await vault.client.post(
        f"/v1/workspaces/{workspace.id}/exports",
        content=body,
        headers=workspace.headers() | {"Idempotency-Key": new_id("req"), "Content-Type": "application/json"},
    )
    assert response.status_code == 422
    (row,) = (await workspace.audit())[before:]
    assert (row["action"], row["outcome"]) == ("vault.export.created", "failed")


async def test_a_mailbox_of_another_workspace_cannot_be_asked_for(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    _, foreign = await ready(vault)
    response = await workspace.post(
        "/exports",
        {"format": "csv", "reason": "because", "mailbox_ids": [ids[0], foreign[0]]},
        key=new_id("req"),
    )
    assert (response.status_code, response.json()["code"]) == (422, "unknown_mailbox")


async def test_a_workspace_without_mailboxes_has_nothing_to_export(vault: Vault) -> None:
    workspace = vault.workspace()
    response = await workspace.post("/exports", {"format": "csv", "reason": "because"}, key=new_id("req"))
    assert (response.status_code, response.json()["code"]) == (422, "nothing_to_export")


async def test_a_server_without_a_name_is_not_ready_for_exports(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.mailbox()
    response = await workspace.post("/exports", {"format": "csv", "reason": "because"}, key=new_id("req"))
    assert (response.status_code, response.json()["code"]) == (409, "server_not_ready")
