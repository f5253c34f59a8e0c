"""One-time links: redeemed once, for a quarter of an hour, with who and why on record."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.ids import new_id
from tests.vault.conftest import Vault
from tests.vault.exports.exporting import create, download, ready


async def test_of_twenty_downloads_at_once_one_succeeds(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    responses = await asyncio.gather(*(download(workspace, created) for _ in range(20)))
    assert sorted(response.status_code for response in responses) == [200] + [410] * 19
    rows = [row for row in await workspace.audit() if row["action"] == "vault.export.redeemed"]
    assert sorted(row["outcome"] for row in rows) == ["denied"] * 19 + ["ok"]
    assert (await workspace.decrypts())["export"] == 2


async def test_the_second_use_says_what_to_do_and_is_on_record(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    await download(workspace, created)
    response = await download(workspace, created)
    assert (response.status_code, response.json()["code"]) == (410, "export_used")
    assert response.json()["next_action"] == "Ask for a new export."
    row = (await workspace.audit())[-1]
    assert (row["action"], row["outcome"], row["reason"]) == (
        "vault.export.redeemed",
        "denied",
        "export_used",
    )
    assert (row["target"], row["actor_id"]) == (created["id"], workspace.owner)


async def test_the_audit_names_who_why_and_each_credential(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    created = await create(workspace)
    colleague = new_id("usr")
    await download(workspace, created, account_id=colleague)
    made, redeemed, credentials = [r for r in await workspace.audit() if "export" in r["action"]]
    assert (made["action"], made["actor_id"]) == ("vault.export.created", workspace.owner)
    assert made["reason"] == redeemed["reason"] == "load into the sending tool"
    assert redeemed["actor_id"] == colleague
    assert redeemed["data"] == {"format": "csv", "mailboxes": 2, "main_password": True}
    assert credentials["action"] == "vault.export.redeemed.credentials"
    assert sorted(credentials["data"]["mailbox_ids"]) == sorted(ids)


async def test_an_export_of_one_mailbox_names_it_too(vault: Vault) -> None:
    workspace, ids = await ready(vault, 1)
    await download(workspace, await create(workspace))
    assert (await workspace.audit())[-1]["data"] == {"mailbox_ids": ids, "versions": [1]}


async def test_the_link_expires_after_fifteen_minutes(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    vault.clock.advance(timedelta(minutes=15))
    response = await download(workspace, created)
    assert (response.status_code, response.json()["code"]) == (410, "export_expired")
    assert (await workspace.get(f"/exports/{created['id']}")).json()["state"] == "expired"
    assert "export" not in await workspace.decrypts()


async def test_the_link_lives_until_then(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    vault.clock.advance(timedelta(minutes=14, seconds=59))
    assert (await download(workspace, created)).status_code == 200


async def test_a_wrong_token_opens_nothing_and_uses_nothing_up(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    wrong = await download(workspace, created | {"token": "x" * 43})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "export_token_wrong")
    assert (await workspace.audit())[-1]["outcome"] == "denied"
    assert (await download(workspace, created)).status_code == 200


async def test_unknown_foreign_and_malformed_exports_answer_alike(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    other, _ = await ready(vault)
    foreign = await create(other)
    answers = {
        (await download(workspace, {"id": export_id, "token": foreign["token"]})).content
        for export_id in (foreign["id"], new_id("exp"), "nonsense")
    }
    assert len(answers) == 1
    assert (await workspace.get(f"/exports/{foreign['id']}")).status_code == 404
    assert (await download(other, foreign)).status_code == 200


async def test_the_view_tells_the_state_and_never_the_token(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    path = f"/exports/{created['id']}"
    before = (await workspace.get(path)).json()
    assert (before["state"], before["mailboxes"], before["redeemed_by"]) == ("open", 2, None)
    await download(workspace, created)
    after = await workspace.get(path)
    assert (after.json()["state"], after.json()["redeemed_by"]) == ("used", workspace.owner)
    assert created["token"] not in after.text


async def test_the_token_is_stored_nowhere(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    for table in ("export", "idempotency_key", "outbox", "audit_entry"):
        for row in await vault.rows(f"select t::text as row from {table} t"):  # noqa: S608 (fixed names)
            assert created["token"] not in row["row"]


async def test_downloading_needs_the_permission(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    assert (await download(workspace, created, permissions=())).status_code == 403
    assert (await workspace.audit())[-1]["outcome"] == "denied"


async def test_a_key_service_that_is_down_leaves_the_link_unused(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    vault.resources.cache.purge(workspace.id)
    await vault.keys.stop()
    response = await download(workspace, created)
    assert (response.status_code, response.json()["code"]) == (503, "key_service_unavailable")
    assert (await workspace.audit())[-1]["outcome"] == "failed"
    await vault.keys.start()
    assert (await download(workspace, created)).status_code == 200


async def test_a_link_of_the_release_before_counts_as_expired(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    created = await create(workspace)
    await vault.run("delete from export_page where export_id = :e", e=created["id"])
    await vault.run(
        "update export set mailboxes = null, mailbox_ids = :m where id = :e", m=ids, e=created["id"]
    )
    assert (await download(workspace, created)).json()["code"] == "export_expired"
    assert (await workspace.get(f"/exports/{created['id']}")).json()["mailboxes"] == 2
