"""When an app password last signed in, as its host told: never lowered, never beyond now, never another's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from shared.contracts.provisioner_events import MailboxPasswordsUsed, UsedPassword
from shared.ids import new_id
from tests.vault.app_passwords.test_app_passwords import create
from tests.vault.conftest import Vault, Workspace


async def tell(workspace: Workspace, mailbox_id: str, uses: dict[int, datetime]) -> None:
    used = [UsedPassword(version=version, at=at) for version, at in uses.items()]
    event = MailboxPasswordsUsed(workspace_id=workspace.id, mailbox_id=mailbox_id, used=used)
    await workspace.vault.bus.deliver(event, subject=mailbox_id)


async def shown(workspace: Workspace, mailbox_id: str) -> dict[str, datetime | None]:
    items = (await workspace.get(f"/mailboxes/{mailbox_id}/app-passwords")).raise_for_status().json()["items"]
    return {
        item["name"]: item["last_used_at"] and datetime.fromisoformat(item["last_used_at"]) for item in items
    }


async def scene(vault: Vault) -> tuple[Workspace, str, datetime]:
    """A mailbox with two app passwords, of versions 2 and 3, and the present minute."""
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    for name in ("phone", "tool"):
        (await create(workspace, mailbox_id, name)).raise_for_status()
    return workspace, mailbox_id, vault.clock.now().astimezone(UTC).replace(second=0, microsecond=0)


async def test_each_shows_when_it_last_signed_in(vault: Vault) -> None:
    workspace, mailbox_id, now = await scene(vault)
    assert await shown(workspace, mailbox_id) == {"phone": None, "tool": None}
    await tell(workspace, mailbox_id, {2: now - timedelta(hours=1)})
    await tell(workspace, mailbox_id, {3: now})
    assert await shown(workspace, mailbox_id) == {"phone": now - timedelta(hours=1), "tool": now}


async def test_an_older_report_never_lowers_it_whatever_the_order(vault: Vault) -> None:
    workspace, mailbox_id, now = await scene(vault)
    minutes = [now - timedelta(minutes=past) for past in (30, 5, 60, 10, 5, 90)]
    await asyncio.gather(*(tell(workspace, mailbox_id, {2: at}) for at in minutes))
    assert (await shown(workspace, mailbox_id))["phone"] == now - timedelta(minutes=5)


async def test_a_hosts_fast_clock_reaches_no_further_than_now(vault: Vault) -> None:
    workspace, mailbox_id, now = await scene(vault)
    await tell(workspace, mailbox_id, {2: now + timedelta(days=400)})
    assert (await shown(workspace, mailbox_id))["phone"] == vault.clock.now()


async def test_nobody_elses_and_no_unknown_one_is_touched(vault: Vault) -> None:
    workspace, mailbox_id, now = await scene(vault)
    stranger = vault.workspace()
    await tell(stranger, mailbox_id, {2: now})
    await tell(workspace, new_id("mbx"), {2: now})
    await tell(workspace, mailbox_id, {1: now, 99: now})
    assert await shown(workspace, mailbox_id) == {"phone": None, "tool": None}
