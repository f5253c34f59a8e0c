"""PUT /internal/mailboxes/{id}: the complete stored set of verifiers, made if absent."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import PasswordHasher

from shared.contracts.provisioner_events import MailboxCredentialApplied
from shared.ids import new_id
from tests.vault.conftest import Vault


async def test_the_first_call_makes_a_password_and_answers_its_verifier(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = new_id("mbx")
    response = await workspace.put_mailbox(mailbox_id)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    (verifier,) = response.json()["verifiers"]
    assert verifier == {
        "version": 1, "state": "pending", "scheme": "ARGON2ID", "hash": verifier["hash"], "selector": None,
    }  # fmt: skip
    assert response.json()["version"] == 1
    assert verifier["hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(verifier["hash"], await workspace.password(mailbox_id))


async def test_repeating_the_call_changes_nothing(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = new_id("mbx")
    first = await workspace.put_mailbox(mailbox_id)
    second = await workspace.put_mailbox(mailbox_id)
    assert first.json() == second.json()
    assert [row["action"] for row in await workspace.audit()] == ["vault.password.made"]


async def test_twenty_calls_at_once_make_one_password(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = new_id("mbx")
    responses = await asyncio.gather(*(workspace.put_mailbox(mailbox_id) for _ in range(20)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    stored = await vault.rows("select version from secret where owner_id = :m", m=mailbox_id)
    assert stored == [{"version": 1}]


async def test_twenty_mailboxes_of_a_new_workspace_share_one_data_key(vault: Vault) -> None:
    workspace = vault.workspace()
    await asyncio.gather(*(workspace.mailbox(f"m{n}@example-a.test") for n in range(20)))
    keys = await vault.rows("select version, encryptions from data_key where scope = :w", w=workspace.id)
    assert keys == [{"version": 1, "encryptions": 20}]


async def test_no_plaintext_and_no_mailbox_secret_is_in_the_database(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    password = await workspace.password(mailbox_id)
    for table in ("secret", "mailbox", "audit_entry", "outbox", "data_key", "idempotency_key"):
        found = await vault.rows(f"select t::text as row from {table} t")  # noqa: S608 (fixed names)
        assert found or table == "idempotency_key"
        assert all(password not in row["row"] and password.encode().hex() not in row["row"] for row in found)


async def test_the_applied_version_is_current(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    event = MailboxCredentialApplied(workspace_id=workspace.id, mailbox_id=mailbox_id, version=1)
    await vault.bus.deliver(event)
    response = await workspace.put_mailbox(mailbox_id)
    assert [(v["version"], v["state"]) for v in response.json()["verifiers"]] == [(1, "current")]


@pytest.mark.asvs("1.3.11")
@pytest.mark.parametrize(
    "address",
    [
        "=cmd|x@example.test",
        "+plus@example.test",
        "-dash@example.test",
        "a b@example.test",
        'a"b@example.test',
        "a\n@example.test",
        "a\0@example.test",
        "nobody",
        "a@localhost",
        "a@EXAMPLE.test",
        "\U0001f511@example.test",
    ],
)
async def test_an_address_that_could_harm_an_export_is_refused(vault: Vault, address: str) -> None:
    workspace = vault.workspace()
    response = await workspace.put_mailbox(new_id("mbx"), address)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "body.address"
    assert await vault.rows("select id from mailbox where workspace_id = :w", w=workspace.id) == []


async def test_another_address_for_a_known_mailbox_conflicts(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox("ada@example-a.test")
    response = await workspace.put_mailbox(mailbox_id, "bob@example-a.test")
    assert (response.status_code, response.json()["code"]) == (409, "mailbox_mismatch")


async def test_a_mailbox_of_another_workspace_is_not_found(vault: Vault) -> None:
    mailbox_id = await vault.workspace().mailbox()
    stranger = vault.workspace()
    response = await stranger.put_mailbox(mailbox_id)
    assert response.status_code == 404
    assert (await stranger.audit())[-1]["outcome"] == "denied"


async def test_the_token_must_be_made_for_the_workspace_of_the_call(vault: Vault) -> None:
    workspace, other = vault.workspace(), vault.workspace()
    body = {"workspace_id": other.id, "server_id": other.server_id, "address": "a@example.test"}
    response = await vault.client.put(
        f"/internal/mailboxes/{new_id('mbx')}", json=body, headers=workspace.service("provisioner")
    )
    assert response.status_code == 403


@pytest.mark.parametrize("caller", ["dns", "auth", "gateway", "reputation"])
async def test_only_the_provisioner_may_call(vault: Vault, caller: str) -> None:
    workspace = vault.workspace()
    body = {"workspace_id": workspace.id, "server_id": workspace.server_id, "address": "a@example.test"}
    response = await vault.client.put(
        f"/internal/mailboxes/{new_id('mbx')}", json=body, headers=workspace.service(caller)
    )
    assert response.status_code == 403


async def test_a_person_may_not_call(vault: Vault) -> None:
    workspace = vault.workspace()
    body = {"workspace_id": workspace.id, "server_id": workspace.server_id, "address": "a@example.test"}
    response = await vault.client.put(
        f"/internal/mailboxes/{new_id('mbx')}", json=body, headers=workspace.headers()
    )
    assert response.status_code == 403
