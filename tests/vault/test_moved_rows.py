"""Somebody who can write to the database moves ciphertexts about: nothing opens, each try is on record as failed."""

from __future__ import annotations

import pytest

from services.vault.models import Secret
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets.service import OwnerKind
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace


async def refused(workspace: Workspace, mailbox_id: str) -> None:
    before = await workspace.decrypts()
    answer = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "look"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    last = (await workspace.audit())[-1]
    assert (last["action"], last["outcome"]) == ("vault.credential.revealed", "failed")
    assert await workspace.decrypts() == before


async def put_in_place(vault: Vault, mailbox_id: str, ciphertext: bytes) -> None:
    await vault.run("update secret set ciphertext = :c where owner_id = :m", c=ciphertext, m=mailbox_id)


async def ciphertext_of(vault: Vault, mailbox_id: str) -> bytes:
    rows = await vault.rows("select ciphertext from secret where owner_id = :m", m=mailbox_id)
    return bytes(rows[0]["ciphertext"])


async def test_a_row_of_another_workspace_does_not_open(vault: Vault) -> None:
    mine, theirs = vault.workspace(), vault.workspace()
    my_mailbox, their_mailbox = await mine.mailbox(), await theirs.mailbox()
    await put_in_place(vault, my_mailbox, await ciphertext_of(vault, their_mailbox))
    await refused(mine, my_mailbox)


async def test_nor_with_the_other_workspaces_data_key_beside_it(vault: Vault) -> None:
    mine, theirs = vault.workspace(), vault.workspace()
    my_mailbox, their_mailbox = await mine.mailbox(), await theirs.mailbox()
    await put_in_place(vault, my_mailbox, await ciphertext_of(vault, their_mailbox))
    await vault.run(
        "update data_key mine set wrapped = theirs.wrapped, check_value = theirs.check_value "
        "from data_key theirs where mine.scope = :m and theirs.scope = :t",
        m=mine.id,
        t=theirs.id,
    )
    vault.resources.cache.purge(mine.id)
    await refused(mine, my_mailbox)


async def sealed(
    workspace: Workspace, *, owner_kind: OwnerKind = "mailbox", field: str = "password", version: int = 1
) -> tuple[str, bytes]:
    """(owner, ciphertext) of a secret that was sealed as something, and whose row was taken away again."""
    vault, owner = workspace.vault, new_id("mbx")
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        row: Secret = await vault.resources.mailboxes._store.seal(
            session, SecretBytes(b"a secret"), workspace_id=workspace.id, owner_kind=owner_kind,
            owner_id=owner, field=field, version=version, state="current",
        )  # fmt: skip
        ciphertext = bytes(row.ciphertext)
    await vault.run("delete from secret where owner_id = :o", o=owner)
    return owner, ciphertext


@pytest.mark.parametrize(
    ("change", "opens"),
    [({}, True), ({"owner_kind": "server"}, False), ({"field": "token"}, False), ({"version": 2}, False)],
)
async def test_a_ciphertext_opens_only_as_what_it_was_sealed_as(
    vault: Vault, change: dict[str, object], opens: bool
) -> None:
    """The row says: password of this mailbox, version 1. With nothing changed it opens, so the others fail by it."""
    workspace = vault.workspace()
    there = await workspace.mailbox()
    owner, ciphertext = await sealed(workspace, **change)  # type: ignore[arg-type]
    await put_in_place(vault, there, ciphertext)
    await vault.run("update secret set owner_id = :o where owner_id = :m", o=owner, m=there)
    await vault.run("update mailbox set id = :o where id = :m", o=owner, m=there)
    if opens:
        assert await workspace.password(owner) == "a secret"
    else:
        await refused(workspace, owner)
