"""Who saw which passwords: what to change when a colleague leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.audit import record
from shared.contracts.provisioner_events import MailboxRemoved
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace
from tests.vault.exports.exporting import create, download, ready


async def reads(workspace: Workspace, query: str = "", **claims: Any) -> list[dict[str, Any]]:
    response = await workspace.get(f"/credential-reads{query}", **claims)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def reveal(workspace: Workspace, mailbox_id: str, **claims: Any) -> int:
    return (
        await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "because"}, **claims)
    ).status_code


async def test_reveals_and_exports_of_one_reader_are_one_line_for_each_mailbox(vault: Vault) -> None:
    workspace, ids = await ready(vault, 3)
    colleague = new_id("usr")
    await reveal(workspace, ids[0], account_id=colleague)
    await reveal(workspace, ids[0], account_id=colleague)
    await download(workspace, await create(workspace, mailbox_ids=ids[:2]), account_id=colleague)
    found = {row["mailbox_id"]: row for row in await reads(workspace)}
    assert set(found) == set(ids[:2])
    assert (found[ids[0]]["reads"], found[ids[0]]["ways"]) == (3, ["export", "reveal"])
    assert (found[ids[1]]["reads"], found[ids[1]]["ways"]) == (1, ["export"])
    assert found[ids[1]]["address"] == "m1@example-a.test"
    assert found[ids[0]]["first_at"] < found[ids[0]]["last_at"]
    assert {row["actor_id"] for row in found.values()} == {colleague}
    assert all(row["still_valid"] for row in found.values())


async def test_readers_are_told_apart_and_can_be_asked_for(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    colleague = new_id("usr")
    await reveal(workspace, mailbox_id)
    await reveal(workspace, mailbox_id, account_id=colleague)
    assert {row["actor_id"] for row in await reads(workspace)} == {workspace.owner, colleague}
    (row,) = await reads(workspace, f"?actor_id={colleague}")
    assert (row["actor_kind"], row["actor_id"], row["reads"]) == ("user", colleague, 1)
    assert await reads(workspace, f"?actor_id={new_id('usr')}") == []


async def test_what_was_refused_or_only_asked_for_was_not_seen(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    assert await reveal(workspace, mailbox_id, permissions=("audit.read",)) == 403
    await create(workspace)
    assert await reads(workspace) == []


async def test_reads_before_the_given_time_are_left_out(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await reveal(workspace, mailbox_id)
    hour = timedelta(hours=1)
    before, after = ((datetime.now(UTC) + shift).strftime("%Y-%m-%dT%H:%M:%SZ") for shift in (-hour, hour))
    assert len(await reads(workspace, f"?since={before}")) == 1
    assert await reads(workspace, f"?since={after}") == []


async def test_a_password_that_was_changed_after_the_read_is_no_longer_valid(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await reveal(workspace, mailbox_id)
    body = {"password": "blue tractors in a field", "reason": "because"}
    assert (await workspace.post(f"/mailboxes/{mailbox_id}/chosen-password", body)).status_code == 202
    assert (await reads(workspace))[0]["still_valid"] is True
    await workspace.applied(mailbox_id)
    (row,) = await reads(workspace)
    assert (row["still_valid"], row["password_valid"], row["app_password_ids"]) == (False, False, [])


async def test_of_a_read_whose_version_is_not_on_record_the_time_decides(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        await record(
            session, workspace_id=workspace.id, actor="vault", action="vault.export.redeemed.credentials",
            target=new_id("exp"), data={"mailbox_ids": [mailbox_id]},
        )  # fmt: skip
    assert (await reads(workspace))[0]["still_valid"] is True
    await vault.run(
        "update secret set created_at = now() + interval '1 minute' where owner_id = :m", m=mailbox_id
    )
    assert (await reads(workspace))[0]["still_valid"] is False


async def test_a_mailbox_that_is_gone_stays_in_the_report(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await reveal(workspace, mailbox_id)
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=mailbox_id))
    (row,) = await reads(workspace)
    assert (row["mailbox_id"], row["address"], row["still_valid"]) == (mailbox_id, None, False)


async def test_pages_hold_each_line_once(vault: Vault) -> None:
    workspace, ids = await ready(vault, 5)
    for reader in (new_id("usr"), new_id("usr")):
        await download(workspace, await create(workspace), account_id=reader)
    found: list[tuple[str, str]] = []
    cursor = ""
    for _ in range(5):
        page = (await workspace.get(f"/credential-reads?limit=2{cursor}")).json()
        found += [(row["mailbox_id"], row["actor_id"]) for row in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert len(found) == len(set(found)) == 10
    assert {mailbox_id for mailbox_id, _ in found} == set(ids)


async def test_another_workspaces_reads_are_out_of_sight(vault: Vault) -> None:
    mine, theirs = (await ready(vault, 1))[0], vault.workspace()
    await theirs.server()
    await reveal(theirs, await theirs.mailbox())
    assert len(await reads(theirs)) == 1
    assert await reads(mine) == []
    assert await reads(mine, f"?actor_id={theirs.owner}") == []


async def test_reading_needs_the_permission(vault: Vault) -> None:
    workspace, _ = await ready(vault, 1)
    response = await workspace.get("/credential-reads", permissions=("credentials.reveal",))
    assert response.status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        "actor_id=nobody",
        "actor_id=mbx_" + "0" * 32,
        "since=yesterday",
        "since=2026-11-23T00:00:00",
        "cursor=WyJ4Il0",
    ],
)
async def test_a_wrong_question_is_refused(vault: Vault, query: str) -> None:
    response = await vault.workspace().get(f"/credential-reads?{query}")
    assert response.status_code == 422
