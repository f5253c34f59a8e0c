"""A mailbox goes to another server: the same passwords open it there, and the old server's end does not touch them."""

from __future__ import annotations

from shared.contracts.provisioner_events import MailboxMoved, ServerDeleted
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace

ADDRESS = "ada@example-a.test"


async def moved(
    vault: Vault, workspace: Workspace, mailbox_id: str, server_id: str, version: int = 1
) -> None:
    event = MailboxMoved(workspace_id=workspace.id, mailbox_id=mailbox_id, server_id=server_id)
    await vault.bus.deliver(event, subject=mailbox_id, aggregate_version=version)


async def given_to(workspace: Workspace, mailbox_id: str, server_id: str) -> int:
    return (await workspace.put_mailbox(mailbox_id, ADDRESS, server_id=server_id)).status_code


async def test_the_new_server_gets_the_same_verifiers_and_the_old_one_none(vault: Vault) -> None:
    workspace, target = vault.workspace(), new_id("srv")
    mailbox_id = await workspace.mailbox()
    before = (await workspace.put_mailbox(mailbox_id, ADDRESS)).json()
    assert await given_to(workspace, mailbox_id, target) == 409
    await moved(vault, workspace, mailbox_id, target)
    assert (await workspace.put_mailbox(mailbox_id, ADDRESS, server_id=target)).json() == before
    assert await given_to(workspace, mailbox_id, workspace.server_id) == 409


async def test_the_old_server_s_end_leaves_its_passwords(vault: Vault) -> None:
    workspace, target = vault.workspace(), new_id("srv")
    mailbox_id = await workspace.mailbox()
    await workspace.applied(mailbox_id, 1)
    password = await workspace.password(mailbox_id)
    await moved(vault, workspace, mailbox_id, target)
    await vault.bus.deliver(ServerDeleted(workspace_id=workspace.id, server_id=workspace.server_id))
    assert await workspace.password(mailbox_id) == password
    await vault.bus.deliver(ServerDeleted(workspace_id=workspace.id, server_id=target))
    assert await vault.rows("select id from secret where owner_id = :m", m=mailbox_id) == []


async def test_of_two_moves_the_newer_one_holds_whichever_comes_first(vault: Vault) -> None:
    workspace, second, third = vault.workspace(), new_id("srv"), new_id("srv")
    mailbox_id = await workspace.mailbox()
    await moved(vault, workspace, mailbox_id, third, version=2)
    await moved(vault, workspace, mailbox_id, second, version=1)
    assert await given_to(workspace, mailbox_id, third) == 200
    assert await given_to(workspace, mailbox_id, second) == 409


async def test_nobody_moves_another_workspace_s_mailbox(vault: Vault) -> None:
    workspace, stranger = vault.workspace(), vault.workspace()
    mailbox_id = await workspace.mailbox()
    await moved(vault, stranger, mailbox_id, stranger.server_id)
    assert await given_to(workspace, mailbox_id, workspace.server_id) == 200
