"""POST …/mailboxes/{id}/reveal: with permission, step-up and reason, on record before it is answered."""

from __future__ import annotations

import time
from typing import Any

import pytest

from services.vault import audited
from shared.ids import new_id
from tests.vault.conftest import Vault


@pytest.mark.asvs("14.2.2")
async def test_the_password_is_shown_with_its_state_and_not_cached(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox("ada@example-a.test")
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "set up a phone"})
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    shown = response.json()
    assert shown["username"] == shown["address"] == "ada@example-a.test"
    assert (shown["version"], shown["state"]) == (1, "pending")
    assert len(shown["password"]) >= 24


async def test_the_audit_row_says_who_what_and_why(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "set up a phone"})
    row = (await workspace.audit())[-1]
    assert row == {
        "action": "vault.credential.revealed",
        "target": mailbox_id,
        "outcome": "ok",
        "reason": "set up a phone",
        "data": {"version": 1},
        "actor_kind": "user",
        "actor_id": workspace.owner,
    }
    assert await workspace.decrypts() == {"reveal": 1}


@pytest.mark.asvs("16.5.3")
async def test_nothing_is_shown_when_the_audit_row_cannot_be_written(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    password = await workspace.password(mailbox_id)

    async def broken(*_: Any, **__: Any) -> str:
        raise ConnectionError("no audit")

    monkeypatch.setattr(audited, "record", broken)
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "set up a phone"})
    assert response.status_code == 503
    assert password not in response.text
    assert await workspace.decrypts() == {"reveal": 1}


@pytest.mark.asvs("16.3.2")
@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"permissions": ("credentials.export",)}, 403, "forbidden"),
        ({"auth_time": int(time.time()) - 301}, 401, "step_up_required"),
    ],
)
async def test_a_refused_attempt_is_one_audit_row(
    vault: Vault, claims: dict[str, Any], status: int, code: str
) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "no reason"}, **claims)
    assert (response.status_code, response.json()["code"]) == (status, code)
    rows = [row for row in await workspace.audit() if row["action"] == "vault.credential.revealed"]
    assert [(row["outcome"], row["reason"], row["target"]) for row in rows] == [("denied", code, mailbox_id)]
    assert await workspace.decrypts() == {}


async def test_unknown_foreign_and_malformed_ids_answer_alike_and_are_recorded(vault: Vault) -> None:
    workspace = vault.workspace()
    foreign = await vault.workspace().mailbox()
    answers = []
    for mailbox_id in (foreign, new_id("mbx"), "nonsense", "mbx_%00"):
        response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "curious"})
        answers.append((response.status_code, response.content))
    assert len(set(answers)) == 1
    assert answers[0][0] == 404
    rows = await workspace.audit()
    assert [row["outcome"] for row in rows] == ["denied"] * 4
    assert [row["target"] for row in rows][2:] == ["malformed", "malformed"]


async def test_the_path_of_another_workspace_is_recorded_in_the_callers_own(vault: Vault) -> None:
    victim, thief = vault.workspace(), vault.workspace()
    mailbox_id = await victim.mailbox()
    before = await victim.audit()
    response = await vault.client.post(
        f"/v1/workspaces/{victim.id}/mailboxes/{mailbox_id}/reveal",
        json={"reason": "mine now"},
        headers=thief.headers(),
    )
    assert response.status_code == 404
    assert await victim.audit() == before
    assert [row["target"] for row in await thief.audit()] == [mailbox_id]


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "a\0b c"}, {"reason": "ok", "x": 1}, []]
)
async def test_a_bad_body_is_refused_and_recorded(vault: Vault, body: Any) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", body)
    assert response.status_code == 422
    assert (await workspace.audit())[-1]["outcome"] == "failed"
    assert await workspace.decrypts() == {}


async def test_four_byte_characters_in_the_reason_are_kept(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    reason = "needed for 🔑 rotation"
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": reason})
    assert response.status_code == 200
    assert (await workspace.audit())[-1]["reason"] == reason


async def test_without_an_identity_nothing_happens(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    response = await vault.client.post(
        f"/v1/workspaces/{workspace.id}/mailboxes/{mailbox_id}/reveal", json={"reason": "hello"}
    )
    assert response.status_code == 401


async def test_an_api_key_may_not_reveal(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    headers = vault.trust.api_key("vault", workspace_id=workspace.id, permissions=["credentials.reveal"])
    response = await vault.client.post(
        f"/v1/workspaces/{workspace.id}/mailboxes/{mailbox_id}/reveal",
        json={"reason": "bot"},
        headers=headers,
    )
    assert response.status_code == 403


async def test_a_damaged_row_is_a_failure_on_record(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await vault.run(
        "update secret set ciphertext = set_byte(ciphertext, 90, 255 - get_byte(ciphertext, 90)) where owner_id = :m",
        m=mailbox_id,
    )
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "look"})
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert [(r["outcome"], r["reason"]) for r in await workspace.audit()][-1] == ("failed", "internal")


async def test_rows_swapped_in_the_database_do_not_open(vault: Vault) -> None:
    workspace = vault.workspace()
    one, two = await workspace.mailbox("a@example-a.test"), await workspace.mailbox("b@example-a.test")
    await vault.run(
        "update secret s set ciphertext = o.ciphertext from secret o "
        "where s.owner_id in (:a, :b) and o.owner_id in (:a, :b) and s.owner_id <> o.owner_id",
        a=one,
        b=two,
    )
    for mailbox_id in (one, two):
        response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "look"})
        assert response.status_code == 500


async def test_a_mailbox_without_a_secret_says_so(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await vault.run("delete from secret where owner_id = :m", m=mailbox_id)
    response = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "look"})
    assert (response.status_code, response.json()["code"]) == (409, "no_credential")
