"""A new password for a mailbox: the old one works until the host has the new one, and never again."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from argon2 import PasswordHasher

from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace

CHOSEN = "Nine purple tractors 7!"


async def choose(workspace: Workspace, mailbox_id: str, password: str = CHOSEN, **claims: Any) -> Any:
    body = {"password": password, "reason": "a customer's wish"}
    return await workspace.post(f"/mailboxes/{mailbox_id}/chosen-password", body, **claims)


async def renew(workspace: Workspace, mailbox_id: str, key: str | None = None, **claims: Any) -> Any:
    body = {"reason": "it was in a chat"}
    return await workspace.post(f"/mailboxes/{mailbox_id}/password", body, key=key or new_id("req"), **claims)


async def stored(vault: Vault, mailbox_id: str) -> list[tuple[int, str]]:
    rows = await vault.rows(
        "select version, state from secret where owner_id = :m order by version", m=mailbox_id
    )
    return [(row["version"], row["state"]) for row in rows]


async def told(vault: Vault, mailbox_id: str) -> list[dict[str, Any]]:
    """Events about the mailbox's passwords."""
    rows = await vault.rows(
        "select body from outbox where subject = :m and type = 'vault.mailbox.credentials_changed.v1' order by seq",
        m=mailbox_id,
    )
    return [json.loads(row["body"])["data"] for row in rows]


async def test_a_chosen_password_takes_the_place_of_the_old_one_when_the_host_has_it(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await workspace.applied(mailbox_id)
    old = await workspace.password(mailbox_id)
    answer = await choose(workspace, mailbox_id)
    assert answer.status_code == 202
    assert await workspace.password(mailbox_id) == old
    (verifier,) = await workspace.verifiers(mailbox_id)
    assert PasswordHasher().verify(verifier["hash"], CHOSEN)
    assert await stored(vault, mailbox_id) == [(1, "current"), (2, "pending")]
    assert await workspace.applied(mailbox_id) == answer.json()["version"] == 2
    assert await stored(vault, mailbox_id) == [(2, "current")]
    assert await workspace.password(mailbox_id) == CHOSEN


async def test_the_provisioner_hears_of_the_change_and_of_its_job(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    answer = (await choose(workspace, mailbox_id)).json()
    (event,) = await told(vault, mailbox_id)
    assert event == {
        "workspace_id": workspace.id, "mailbox_id": mailbox_id, "version": 2, "job_id": answer["job_id"],
        "requested_by": workspace.owner,
    }  # fmt: skip


async def test_a_new_one_is_made_when_its_host_asks_and_only_once(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await workspace.applied(mailbox_id)
    old = await workspace.password(mailbox_id)
    assert (await renew(workspace, mailbox_id)).json()["version"] == 2
    assert await stored(vault, mailbox_id) == [(1, "current")]
    answers = await asyncio.gather(*(workspace.put_mailbox(mailbox_id) for _ in range(10)))
    assert len({answer.text for answer in answers}) == 1
    assert await stored(vault, mailbox_id) == [(1, "current"), (2, "pending")]
    await workspace.applied(mailbox_id)
    new = await workspace.password(mailbox_id)
    assert new != old
    assert PasswordHasher().verify((await workspace.verifiers(mailbox_id))[0]["hash"], new)


async def test_the_last_of_several_changes_counts_whatever_was_applied_between(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await workspace.applied(mailbox_id)
    await choose(workspace, mailbox_id)
    await renew(workspace, mailbox_id)
    await workspace.applied(mailbox_id, 2)
    assert await workspace.password(mailbox_id) == CHOSEN
    await choose(workspace, mailbox_id, "Ten yellow tractors 8?")
    (verifier,) = await workspace.verifiers(mailbox_id)
    assert verifier["version"] == 4
    await workspace.applied(mailbox_id)
    assert await stored(vault, mailbox_id) == [(4, "current")]


async def test_ten_changes_at_once_are_ten_versions_and_the_newest_opens(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    answers = await asyncio.gather(
        *(choose(workspace, mailbox_id, f"{number} tractors on a hill") for number in range(10, 20))
    )
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 12))
    newest = next(n for n, answer in enumerate(answers, 10) if answer.json()["version"] == 11)
    await workspace.applied(mailbox_id)
    assert await workspace.password(mailbox_id) == f"{newest} tractors on a hill"
    assert await stored(vault, mailbox_id) == [(11, "current")]


async def test_a_repeated_request_changes_nothing_more(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    first, second = [await renew(workspace, mailbox_id, key="once") for _ in range(2)]
    assert first.json() == second.json()
    assert len(await told(vault, mailbox_id)) == 1


async def test_changes_are_on_record_with_their_reason_and_without_the_password(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await choose(workspace, mailbox_id)
    await renew(workspace, mailbox_id)
    rows = (await workspace.audit())[-2:]
    assert [(row["action"], row["outcome"], row["reason"], row["data"]) for row in rows] == [
        ("vault.password.set", "ok", "a customer's wish", {"version": 2}),
        ("vault.password.renewed", "ok", "it was in a chat", {"version": 3}),
    ]
    for table in ("secret", "audit_entry", "outbox", "idempotency_key"):
        found = await vault.rows(f"select t::text as row from {table} t")  # noqa: S608 (fixed names)
        assert all(CHOSEN not in row["row"] and CHOSEN.encode().hex() not in row["row"] for row in found)


@pytest.mark.asvs("6.2.1", "6.2.4")
@pytest.mark.parametrize(
    "password",
    [
        "elevenchars",
        "password2026",
        "Postmaster2026!",
        "ada.lovelace1815",
        "=cmd|' /C calc'!A0 x",
        "-begins with a dash",
        "ends in a space in it ",
        "line\nbreaks in the middle",
        "nul\0in the middle of it",
        "Grüne Traktoren fahren",
        "keys \U0001f511 and more keys",
        "half a character \ud83d here",
        "x" * 300,
    ],
)
async def test_what_is_guessable_or_harms_other_programs_is_refused(vault: Vault, password: str) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox("ada.lovelace@example-a.test")
    answer = await vault.client.post(
        f"/v1/workspaces/{workspace.id}/mailboxes/{mailbox_id}/chosen-password",
        content=json.dumps({"password": password, "reason": "because"}),
        headers=workspace.headers() | {"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "password_refused")
    assert password not in answer.text
    assert await stored(vault, mailbox_id) == [(1, "pending")]
    assert await told(vault, mailbox_id) == []
    assert (await workspace.audit())[-1]["reason"] == "password_refused"


async def test_the_present_password_is_no_new_one_and_nothing_is_decrypted_to_see_that(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await choose(workspace, mailbox_id)
    answer = await choose(workspace, mailbox_id)
    assert (answer.status_code, answer.json()["code"]) == (422, "password_refused")
    assert await workspace.decrypts() == {}


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"permissions": ("credentials.reveal",)}, 403, "forbidden"),
        ({"auth_time": int(time.time()) - 301}, 401, "step_up_required"),
    ],
)
async def test_it_needs_the_permission_and_a_fresh_sign_in(
    vault: Vault, claims: dict[str, Any], status: int, code: str
) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    for answer in (
        await choose(workspace, mailbox_id, **claims),
        await renew(workspace, mailbox_id, **claims),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert [row["outcome"] for row in (await workspace.audit())[-2:]] == ["denied", "denied"]


async def test_with_the_key_service_away_a_chosen_password_is_refused_and_a_new_one_is_made_later(
    vault: Vault,
) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await vault.keys.stop()
    vault.resources.cache.purge(workspace.id)
    assert (await choose(workspace, mailbox_id)).status_code == 503
    assert (await renew(workspace, mailbox_id)).status_code == 202
    assert (await workspace.put_mailbox(mailbox_id)).status_code == 503
    await vault.keys.start()
    assert await workspace.applied(mailbox_id) == 2
    assert await stored(vault, mailbox_id) == [(2, "current")]
