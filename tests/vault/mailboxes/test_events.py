"""credential_applied and removed."""

from __future__ import annotations

from shared.contracts.provisioner_events import MailboxRemoved
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace


async def states(vault: Vault, mailbox_id: str) -> list[tuple[int, str]]:
    rows = await vault.rows(
        "select version, state from secret where owner_id = :m order by version", m=mailbox_id
    )
    return [(row["version"], row["state"]) for row in rows]


async def applied(vault: Vault, workspace: Workspace, mailbox_id: str, version: int) -> None:
    await workspace.applied(mailbox_id, version)


async def add_version(vault: Vault, workspace: Workspace, mailbox_id: str, version: int) -> None:
    """A further pending version."""
    body = {"password": f"{version}-orange-tractors-hum", "reason": "because"}
    answer = await workspace.post(f"/mailboxes/{mailbox_id}/chosen-password", body)
    assert answer.json()["version"] == version


async def test_pending_becomes_current(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await applied(vault, workspace, mailbox_id, 1)
    assert await states(vault, mailbox_id) == [(1, "current")]


async def test_the_current_password_stays_until_the_next_is_applied(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await applied(vault, workspace, mailbox_id, 1)
    first = await workspace.password(mailbox_id)
    await add_version(vault, workspace, mailbox_id, 2)
    assert await states(vault, mailbox_id) == [(1, "current"), (2, "pending")]
    assert await workspace.password(mailbox_id) == first
    verifiers = await workspace.verifiers(mailbox_id)
    assert [(v["version"], v["state"]) for v in verifiers] == [(2, "pending")]
    await applied(vault, workspace, mailbox_id, 2)
    assert await states(vault, mailbox_id) == [(2, "current")]
    assert await workspace.password(mailbox_id) != first


async def test_repeated_late_and_unknown_versions_change_nothing(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await add_version(vault, workspace, mailbox_id, 2)
    await applied(vault, workspace, mailbox_id, 2)
    for version in (2, 1, 7):
        await applied(vault, workspace, mailbox_id, version)
    assert await states(vault, mailbox_id) == [(2, "current")]


async def test_removal_deletes_the_secrets_and_is_on_record(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=mailbox_id))
    assert await states(vault, mailbox_id) == []
    assert (await workspace.audit())[-1]["action"] == "vault.secrets.deleted"
    assert (await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "gone?"})).status_code == 404
    left = await vault.rows("select address from mailbox where id = :m", m=mailbox_id)
    assert left == [{"address": None}]


async def test_a_late_call_does_not_make_a_new_password_for_a_removed_mailbox(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = new_id("mbx")
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=mailbox_id))
    assert (await workspace.put_mailbox(mailbox_id)).status_code == 404
    assert await states(vault, mailbox_id) == []


async def test_an_event_of_one_workspace_cannot_remove_anothers_mailbox(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await vault.bus.deliver(MailboxRemoved(workspace_id=new_id("ws"), mailbox_id=mailbox_id))
    assert await states(vault, mailbox_id) == [(1, "pending")]
    assert await workspace.password(mailbox_id)
