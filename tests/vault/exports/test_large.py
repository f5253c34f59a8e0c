"""An export of very many credentials: whole, and in memory that does not grow with it."""

from __future__ import annotations

import csv
import gc
import io
import os
import tracemalloc

import pytest

from services.vault import envelope
from services.vault.exports import repository
from services.vault.exports.repository import FIRST_PAGE, MAILBOXES_PER_PAGE
from services.vault.secret_bytes import SecretBytes
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace
from tests.vault.exports.exporting import create, download, ready, recorded, redeem


async def filled(vault: Vault, count: int) -> Workspace:
    """A workspace with `count` mailboxes whose passwords are real ciphertexts, put in without their calls."""
    workspace, (first,) = await ready(vault, 1)
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        store = vault.resources.mailboxes._store
        key = await store._data_keys.for_encryption(session, workspace.id)
    mailboxes, secrets = [], []
    for number in range(1, count):
        mailbox_id = new_id("mbx")
        binding = envelope.Binding(
            environment=vault.settings.environment, scope=workspace.id, owner_kind="mailbox", owner_id=mailbox_id,
            field="password", version=1,
        )  # fmt: skip
        sealed = envelope.encrypt(
            SecretBytes(f"Pa-ss_{number}".encode()), data_key=key.key, data_key_version=key.version,
            binding=binding, random_bytes=os.urandom,
        )  # fmt: skip
        mailboxes.append(f"{mailbox_id}\t{workspace.id}\t{workspace.server_id}\tx{number}@example-a.test")
        secrets.append(
            f"{new_id('sec')}\t{workspace.id}\t{workspace.server_id}\tmailbox\t{mailbox_id}\tpassword\t1\tcurrent\t"
            f"{key.version}\t\\\\x{envelope.wrap_nonce(sealed).hex()}\t\\\\x{sealed.hex()}"
        )
    copy(vault, "mailbox (id, workspace_id, server_id, address)", mailboxes)
    copy(
        vault,
        "secret (id, workspace_id, server_id, owner_kind, owner_id, field, version, state, data_key_version, "
        "wrap_nonce, ciphertext)",
        secrets,
    )
    vault.database.postgres.psql("analyze", vault.database.name)
    assert first
    return workspace


def copy(vault: Vault, columns: str, lines: list[str]) -> None:
    text = f"copy {columns} from stdin;\n" + "\n".join(lines) + "\n\\.\n"
    vault.database.postgres.psql(text, vault.database.name)


async def test_a_file_of_many_pages_has_every_credential_once(vault: Vault) -> None:
    count = FIRST_PAGE + MAILBOXES_PER_PAGE + 1
    workspace = await filled(vault, count)
    response = await download(workspace, await create(workspace))
    assert response.status_code == 200
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    passwords = {row["address"]: row["password"] for row in rows}
    assert len(passwords) == len(rows) == count
    assert all(passwords[f"x{number}@example-a.test"] == f"Pa-ss_{number}" for number in range(1, count))
    assert (await workspace.decrypts())["export"] == count
    assert [len(page) for page in await recorded(workspace)] == [FIRST_PAGE, MAILBOXES_PER_PAGE, 1]


async def test_memory_does_not_grow_with_what_is_written(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond two pages: the one that is written, and the one ahead."""
    monkeypatch.setattr(repository, "MAILBOXES_PER_PAGE", 1000)
    few, many = [await peak(vault, await filled(vault, count)) for count in (3000, 8000)]
    assert many < 1.3 * few


async def peak(vault: Vault, workspace: Workspace) -> int:
    """Bytes that Python had most at once, beyond what it had before."""
    gc.collect()
    tracemalloc.start()
    try:
        created = await create(workspace)
        async for _ in vault.resources.exports.stream(vault.api_database, await redeem(workspace, created)):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
