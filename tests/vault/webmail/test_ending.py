"""Webmail ends before its time: by a call, or because who opened it may not any more."""

from __future__ import annotations

import asyncio
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as statements

from services.vault.webmail.consumers import MAY_OPEN
from services.vault.webmail.ending import OUTLIVED
from shared.contracts.auth_events import ApiKeyRevoked, MembershipChanged, Role
from shared.contracts.provisioner_events import MailboxRemoved, ServerDeleted
from shared.contracts.vault_events import MailboxWebmailEnded
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace
from tests.vault.webmail.test_sign_in import payload

ROOT = Path(__file__).parents[3]


async def ready(vault: Vault) -> tuple[Workspace, str, str]:
    """(workspace, its mailbox, the host's key)."""
    workspace = vault.workspace()
    key = (await workspace.put_webmail_key()).json()["key"]
    return workspace, await workspace.mailbox(), key


async def opened(workspace: Workspace, mailbox_id: str, key: str, **claims: Any) -> str:
    """The id of a new sign-in."""
    answer = await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions", **claims)
    return str(payload(answer.raise_for_status().json()["token"], key)["jti"])


async def end(workspace: Workspace, mailbox_id: str, **claims: Any) -> Any:
    return await workspace.delete(f"/mailboxes/{mailbox_id}/webmail-sessions", **claims)


async def told(workspace: Workspace) -> list[MailboxWebmailEnded]:
    heard = await workspace.vault.bus.emitted(MailboxWebmailEnded)
    return [event for event in heard if event.workspace_id == workspace.id]


async def kept(workspace: Workspace) -> list[dict[str, Any]]:
    """Sign-ins of the workspace that are still known."""
    return await workspace.vault.rows(
        "select id, mailbox_id, ended_at from webmail_sign_in where workspace_id = :w order by id",
        w=workspace.id,
    )


async def says(workspace: Workspace, account_id: str, role: Role | None, sequence: int) -> None:
    """What auth says of a member."""
    event = MembershipChanged(workspace_id=workspace.id, account_id=account_id, role=role, sequence=sequence)
    await workspace.vault.bus.deliver(event, subject=workspace.id, aggregate_version=sequence)


async def test_a_call_ends_all_of_the_mailbox_and_nothing_of_others(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    other = await workspace.mailbox("bob@example-a.test")
    mine = [await opened(workspace, mailbox_id, key, account_id=who) for who in ("usr_a", "usr_a", "usr_b")]
    await opened(workspace, other, key)
    answer = await end(workspace, mailbox_id)
    (event,) = await told(workspace)
    assert (answer.status_code, answer.json()) == (
        202, {"mailbox_id": mailbox_id, "sign_ins": 3, "job_id": event.job_id},
    )  # fmt: skip
    assert (event.workspace_id, event.mailbox_id, event.version) == (workspace.id, mailbox_id, 1)
    assert event.ended == sorted(mine)
    assert event.requested_by == workspace.owner


async def test_ending_is_on_record_with_who_did_it(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    sign_in = await opened(workspace, mailbox_id, key)
    await end(workspace, mailbox_id)
    issued, ended = (await workspace.audit())[-2:]
    assert (issued["action"], issued["data"]) == ("vault.webmail.opened", {"sign_in": sign_in})
    assert (ended["action"], ended["target"], ended["outcome"]) == ("vault.webmail.ended", mailbox_id, "ok")
    assert (ended["actor_id"], ended["data"]) == (workspace.owner, {"sign_ins": 1})


async def test_each_event_names_all_that_could_still_be_alive(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    first = await opened(workspace, mailbox_id, key)
    await end(workspace, mailbox_id)
    second = await opened(workspace, mailbox_id, key)
    await end(workspace, mailbox_id)
    vault.clock.advance(OUTLIVED + timedelta(seconds=1))
    third = await opened(workspace, mailbox_id, key)
    await end(workspace, mailbox_id)
    assert [(event.version, event.ended) for event in await told(workspace)] == [
        (1, [first]), (2, sorted([first, second])), (3, [third]),
    ]  # fmt: skip
    assert [row["id"] for row in await kept(workspace)] == [third]


async def test_where_nothing_is_open_nothing_is_told(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    await opened(workspace, mailbox_id, key)
    vault.clock.advance(OUTLIVED + timedelta(seconds=1))
    assert (await end(workspace, mailbox_id)).json() == {
        "mailbox_id": mailbox_id, "sign_ins": 0, "job_id": None,
    }  # fmt: skip
    assert await told(workspace) == []
    assert (await workspace.audit())[-1]["data"] == {"sign_ins": 0}


async def test_it_needs_the_permission_and_the_mailbox(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    await opened(workspace, mailbox_id, key)
    assert (await end(workspace, mailbox_id, permissions=())).status_code == 403
    stranger = vault.workspace()
    assert (await end(stranger, mailbox_id)).status_code == 404
    for side in (workspace, stranger):
        row = (await side.audit())[-1]
        assert (row["action"], row["target"], row["outcome"]) == ("vault.webmail.ended", mailbox_id, "denied")
    assert await told(workspace) == []


@pytest.mark.parametrize("role", [None, "member"])
async def test_who_leaves_or_is_lowered_loses_what_he_opened_and_opens_no_more(
    vault: Vault, role: Role | None
) -> None:
    workspace, mailbox_id, key = await ready(vault)
    other = await workspace.mailbox("bob@example-a.test")
    ada = {"account_id": new_id("usr")}
    gone = {box: await opened(workspace, box, key, **ada) for box in (mailbox_id, other)}
    await opened(workspace, mailbox_id, key)
    await says(workspace, ada["account_id"], role, 7)
    assert {event.mailbox_id: event.ended for event in await told(workspace)} == {
        box: [sign_in] for box, sign_in in gone.items()
    }
    row = (await workspace.audit())[-1]
    assert (row["action"], row["actor_id"]) == ("vault.webmail.ended", "vault")
    assert row["data"] == {"sign_ins": 1, "opened_by": ada["account_id"]}
    late = await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions", **ada)
    assert (late.status_code, (await workspace.audit())[-1]["outcome"]) == (403, "denied")


async def test_a_revoked_key_loses_what_it_opened(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    actor = new_id("key")
    sign_in = await opened(workspace, mailbox_id, key, account_id=actor)
    event = ApiKeyRevoked(workspace_id=workspace.id, key_id=actor, sequence=3)
    await vault.bus.deliver(event, subject=actor, aggregate_version=3)
    assert [event.ended for event in await told(workspace)] == [[sign_in]]
    late = await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions", account_id=actor)
    assert late.status_code == 403


@pytest.mark.parametrize("role", [None, "member"])
async def test_a_key_s_webmail_ends_with_the_right_of_who_made_the_key(
    vault: Vault, role: Role | None
) -> None:
    """A key may no more than its maker. (Of one who leaves it is revoked besides.)"""
    workspace, mailbox_id, key = await ready(vault)
    maker = new_id("usr")
    by_key = {"account_id": new_id("key"), "kind": "api_key", "maker": maker}
    gone = [await opened(workspace, mailbox_id, key, **by_key)]
    gone.append(await opened(workspace, mailbox_id, key, account_id=maker))
    others = {"account_id": new_id("key"), "kind": "api_key", "maker": new_id("usr")}
    await opened(workspace, mailbox_id, key, **others)
    await says(workspace, maker, role, 4)
    assert [event.ended for event in await told(workspace)] == [sorted(gone)]
    late = await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions", **by_key)
    assert late.status_code == 403
    await opened(workspace, mailbox_id, key, **others)
    await says(workspace, maker, "owner", 5)
    await opened(workspace, mailbox_id, key, **by_key)


async def test_of_those_who_open_by_key_while_its_maker_is_lowered_none_is_overlooked(vault: Vault) -> None:
    workspace, mailbox_id, _ = await ready(vault)
    path, maker = f"/mailboxes/{mailbox_id}/webmail-sessions", new_id("usr")
    keys = [{"account_id": new_id("key"), "kind": "api_key", "maker": maker} for _ in range(8)]
    opening = asyncio.gather(*(workspace.post(path, **one) for one in keys))
    answers, _ = await asyncio.gather(opening, says(workspace, maker, "member", 2))
    assert {answer.status_code for answer in answers} <= {201, 403}
    rows = await kept(workspace)
    assert len(rows) == sum(answer.status_code == 201 for answer in answers)
    assert all(row["ended_at"] is not None for row in rows)


async def test_many_mailboxes_end_by_the_same_few_statements(vault: Vault) -> None:
    """But for the audit log, whose rows follow one another."""
    workspace, mailbox_id, key = await ready(vault)
    boxes = [mailbox_id, *[await workspace.mailbox(f"box{n}@example-a.test") for n in range(4)]]
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        seen.append(arguments[2].split()[0].lower() + (" audit" if "audit" in arguments[2] else ""))

    needed = []
    for count in (1, 5):
        ada = new_id("usr")
        for box in boxes[:count]:
            await opened(workspace, box, key, account_id=ada)
        statements.listen(vault.bus.database.engine.sync_engine, "before_cursor_execute", note)
        await says(workspace, ada, None, 2)
        statements.remove(vault.bus.database.engine.sync_engine, "before_cursor_execute", note)
        needed.append([one for one in seen if "audit" not in one])
        seen.clear()
    assert needed[0] == needed[1]


async def test_who_changes_between_roles_that_may_keeps_his_sessions(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    await opened(workspace, mailbox_id, key)
    await says(workspace, workspace.owner, "admin", 5)
    assert await told(workspace) == []
    await opened(workspace, mailbox_id, key)


async def test_who_comes_back_opens_again_whatever_arrives_late(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    ada = {"account_id": new_id("usr")}
    await says(workspace, ada["account_id"], "admin", 9)
    await says(workspace, ada["account_id"], None, 8)
    await opened(workspace, mailbox_id, key, **ada)
    await says(workspace, ada["account_id"], None, 10)
    assert (await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions", **ada)).status_code == 403
    await says(workspace, ada["account_id"], "owner", 11)
    await opened(workspace, mailbox_id, key, **ada)


async def test_of_another_workspace_nothing_ends(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    await opened(workspace, mailbox_id, key)
    await says(vault.workspace(), workspace.owner, None, 5)
    assert await told(workspace) == []
    await opened(workspace, mailbox_id, key)


async def test_of_those_who_open_while_one_leaves_none_is_overlooked(vault: Vault) -> None:
    workspace, mailbox_id, _ = await ready(vault)
    path, ada = f"/mailboxes/{mailbox_id}/webmail-sessions", {"account_id": new_id("usr")}
    opening = asyncio.gather(*(workspace.post(path, **ada) for _ in range(8)))
    answers, _ = await asyncio.gather(opening, says(workspace, ada["account_id"], None, 2))
    assert {answer.status_code for answer in answers} <= {201, 403}
    issued = sum(answer.status_code == 201 for answer in answers)
    rows = await kept(workspace)
    assert len(rows) == issued
    assert all(row["ended_at"] is not None for row in rows)


async def test_of_those_who_open_while_all_is_ended_each_is_before_or_after(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    *_, answer = await asyncio.gather(
        *(opened(workspace, mailbox_id, key) for _ in range(8)), end(workspace, mailbox_id)
    )
    ended = [row["id"] for row in await kept(workspace) if row["ended_at"] is not None]
    assert answer.json()["sign_ins"] == len(ended)
    assert ended == [name for one in await told(workspace) for name in one.ended]


async def test_nothing_is_kept_of_what_is_gone(vault: Vault) -> None:
    workspace, mailbox_id, key = await ready(vault)
    other = await workspace.mailbox("bob@example-a.test")
    for box in (mailbox_id, other):
        await opened(workspace, box, key)
    removed = MailboxRemoved(workspace_id=workspace.id, mailbox_id=mailbox_id)
    await vault.bus.deliver(removed, subject=mailbox_id)
    assert [row["mailbox_id"] for row in await kept(workspace)] == [other]
    deleted = ServerDeleted(workspace_id=workspace.id, server_id=workspace.server_id)
    await vault.bus.deliver(deleted, subject=workspace.server_id)
    assert await kept(workspace) == []


async def test_no_token_is_kept(vault: Vault) -> None:
    workspace, mailbox_id, _ = await ready(vault)
    answer = (await workspace.post(f"/mailboxes/{mailbox_id}/webmail-sessions")).json()
    await end(workspace, mailbox_id)
    for table in ("webmail_sign_in", "audit_entry", "outbox"):
        found = await vault.rows(f"select t::text as row from {table} t")  # noqa: S608 (fixed names)
        assert found
        for part in answer["token"].split(".")[1:]:
            assert all(part not in row["row"] for row in found)


def test_the_roles_that_may_open_are_those_of_the_gateways_table() -> None:
    routes = tomllib.loads((ROOT / "gateway/permissions.toml").read_text())["route"]
    roles = {frozenset(route["roles"]) for route in routes if route.get("permission") == "webmail.open"}
    assert roles == {MAY_OPEN}
