"""How many secrets one caller sees in an hour, also when he asks for all of them at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.vault.read_limits.service import Kind, ReadLimits
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace


def limit(vault: Vault, kind: Kind, per_hour: int) -> None:
    """Lowers a limit of this vault, which its parts share."""
    limits: ReadLimits = vault.resources.mailboxes._limits
    limits._per_hour[kind] = per_hour


async def reveal(workspace: Workspace, mailbox_id: str, **claims: Any) -> Any:
    return await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "because"}, **claims)


async def test_twenty_callers_at_once_get_no_more_than_the_limit(vault: Vault) -> None:
    limit(vault, "reveal", 5)
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    answers = await asyncio.gather(*(reveal(workspace, mailbox_id) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15
    assert await workspace.decrypts() == {"reveal": 5}


@pytest.mark.asvs("2.4.1")
async def test_the_refused_try_says_when_to_come_back_and_is_on_record(vault: Vault) -> None:
    limit(vault, "reveal", 2)
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    for _ in range(2):
        assert (await reveal(workspace, mailbox_id)).status_code == 200
    refused = await reveal(workspace, mailbox_id)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_reads")
    assert refused.headers["retry-after"] == "1800"
    assert "1800 seconds" in refused.json()["next_action"]
    row = (await workspace.audit())[-1]
    assert (row["action"], row["outcome"], row["reason"], row["target"]) == (
        "vault.credential.revealed", "denied", "too_many_reads", mailbox_id,
    )  # fmt: skip


async def test_an_hours_share_comes_back_with_the_time(vault: Vault) -> None:
    limit(vault, "reveal", 2)
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    statuses = [(await reveal(workspace, mailbox_id)).status_code for _ in range(3)]
    vault.clock.advance(timedelta(minutes=29))
    statuses.append((await reveal(workspace, mailbox_id)).status_code)
    vault.clock.advance(timedelta(minutes=1))
    statuses += [(await reveal(workspace, mailbox_id)).status_code for _ in range(2)]
    assert statuses == [200, 200, 429, 429, 200, 429]


async def test_each_person_has_a_limit_of_his_own_in_each_workspace(vault: Vault) -> None:
    limit(vault, "reveal", 1)
    one, two = vault.workspace(), vault.workspace()
    two.owner = one.owner
    first, second = await one.mailbox(), await two.mailbox()
    assert (await reveal(one, first)).status_code == 200
    assert (await reveal(one, first)).status_code == 429
    assert (await reveal(one, first, account_id=new_id("usr"))).status_code == 200
    assert (await reveal(two, second)).status_code == 200


async def test_what_fails_costs_nothing(vault: Vault) -> None:
    limit(vault, "reveal", 1)
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    assert (await reveal(workspace, new_id("mbx"))).status_code == 404
    assert (await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": ""})).status_code == 422
    await vault.keys.stop()
    vault.resources.cache.purge(workspace.id)
    assert (await reveal(workspace, mailbox_id)).status_code == 503
    await vault.keys.start()
    assert (await reveal(workspace, mailbox_id)).status_code == 200


async def test_exports_are_counted_by_themselves(vault: Vault) -> None:
    limit(vault, "export", 1)
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    body = {"format": "csv", "reason": "because"}
    answers = [await workspace.post("/exports", body, key=new_id("req")) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 429]
    assert (await workspace.audit())[-1]["reason"] == "too_many_reads"
    assert (await reveal(workspace, mailbox_id)).status_code == 200
