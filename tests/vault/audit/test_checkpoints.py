"""Audit rows against their signed checkpoints: whoever rules the database is found out."""

# ruff: noqa: S608 (what is put into these statements is the test's own)

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from infra.local.pki import private_key, public_pem
from services.vault import admin, worker
from services.vault.audit_checkpoints.service import AuditCheckpoints
from services.vault.settings import WorkerSettings
from shared.audit.chain import GENESIS, row_hash
from shared.audit.checkpoints import CheckpointWrong
from shared.bus.worker import Periodic
from shared.clock import SystemClock
from shared.db.database import Database
from shared.db.kit_tables import audit_entry
from tests.fixtures.database import Postgres, ServiceDatabases, drop_database, make_database, migrate
from tests.vault.conftest import Vault, Workspace
from tests.vault.test_processes import environment


@dataclass
class Signing:
    """A vault whose worker writes checkpoints, and the operator's command."""

    vault: Vault
    directory: Path
    key_file: Path
    public_key: Path
    printed: pytest.CaptureFixture[str]

    def signer(self) -> AuditCheckpoints:
        return AuditCheckpoints(self.directory, self.key_file, self.vault.worker_database, SystemClock())

    async def verify(self) -> tuple[int, dict[str, Any]]:
        arguments = ["verify", "--checkpoints", str(self.directory), "--public-key", str(self.public_key)]
        code = await asyncio.to_thread(admin.main, arguments)
        return code, json.loads(self.printed.readouterr().out)

    async def found(self) -> list[tuple[str, str, int]]:
        """Workspace, finding and sequence of each; the exit status says the same."""
        code, document = await self.verify()
        assert (code, document["ok"], document["checkpoints_wrong"]) == (1, False, None)
        return [(one["workspace_id"], one["finding"], one["sequence"]) for one in document["tampered"]]

    def tamper(self, statement: str) -> None:
        """As somebody who rules the database: past triggers, policies and grants."""
        database = self.vault.database
        database.postgres.psql(f"set session_replication_role = replica; {statement};", database.name)

    async def workspace(self, reads: int = 3) -> Workspace:
        """A workspace with `reads` reads in its chain, after the rows of the making."""
        workspace = self.vault.workspace()
        mailbox = await workspace.mailbox()
        for _ in range(reads):
            await workspace.password(mailbox)
        return workspace

    async def rewrite(self, workspace: Workspace, last: int | None = None) -> None:
        """Puts another name on every row up to `last` (None: all) and makes the chain and its head follow again."""
        async with self.vault.worker_database.transaction() as session:
            found = await session.execute(
                select(audit_entry)
                .where(audit_entry.c.workspace_id == workspace.id)
                .order_by(audit_entry.c.sequence)
            )
            rows = [dict(row._mapping) for row in found]
        previous = GENESIS
        for row in rows[:last]:
            row |= {"actor_id": "usr_nobody", "previous_hash": previous}
            previous = row_hash(previous, row)
            self.tamper(
                f"update audit_entry set actor_id = 'usr_nobody', row_hash = '\\x{previous.hex()}', "
                f"previous_hash = '\\x{row['previous_hash'].hex()}' where id = '{row['id']}'"
            )
        self.tamper(
            f"delete from audit_entry where workspace_id = '{workspace.id}' and sequence > {len(rows[:last])}; "
            f"update audit_head set row_hash = '\\x{previous.hex()}', sequence = {len(rows[:last])} "
            f"where workspace_id = '{workspace.id}'"
        )


@pytest.fixture
def service_database(postgres: Postgres) -> Iterator[ServiceDatabases]:
    """A database for each test: what one plants, the next would find."""
    database = make_database(postgres, "vault")
    migrate("vault", database.owner_url)
    yield lambda _: database
    drop_database(database)


@pytest.fixture
def signing(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Signing:
    environment(monkeypatch, vault, vault.database.worker_url)
    directory, key_file, public_key = tmp_path / "checkpoints", tmp_path / "audit.key", tmp_path / "audit.pem"
    directory.mkdir()
    public_key.write_bytes(public_pem(private_key(key_file)))
    return Signing(vault, directory, key_file, public_key, capsys)


async def test_untouched_chains_verify(signing: Signing) -> None:
    first = await signing.workspace()
    await signing.signer().write()
    await signing.workspace()
    await first.password(await first.mailbox("b@example-a.test"))
    code, document = await signing.verify()
    assert (code, document["ok"], document["tampered"]) == (0, True, [])
    assert (document["checkpoints"], document["workspaces"]) == (1, 2)
    assert document["rows"] == 10
    assert document["checkpointed_rows"] == 4


@pytest.mark.asvs("16.4.2")
async def test_a_changed_row_is_found(signing: Signing) -> None:
    workspace = await signing.workspace()
    await signing.signer().write()
    signing.tamper(
        f"update audit_entry set outcome = 'denied' where workspace_id = '{workspace.id}' and sequence = 2"
    )
    assert await signing.found() == [(workspace.id, "row_changed", 2)]


async def test_a_row_taken_out_of_the_middle_is_found(signing: Signing) -> None:
    workspace = await signing.workspace()
    signing.tamper(f"delete from audit_entry where workspace_id = '{workspace.id}' and sequence = 3")
    assert await signing.found() == [(workspace.id, "row_changed", 3)]


async def test_a_removed_tail_is_found_though_the_head_was_moved_back(signing: Signing) -> None:
    workspace = await signing.workspace()
    await signing.signer().write()
    signing.tamper(
        f"delete from audit_entry where workspace_id = '{workspace.id}' and sequence = 4; "
        f"update audit_head set sequence = 3, row_hash = (select row_hash from audit_entry "
        f"where workspace_id = '{workspace.id}' and sequence = 3) where workspace_id = '{workspace.id}'"
    )
    assert await signing.found() == [(workspace.id, "rows_removed", 4)]


async def test_a_workspace_of_which_nothing_is_left_is_found(signing: Signing) -> None:
    workspace = await signing.workspace()
    await signing.signer().write()
    for table in ("audit_entry", "audit_head"):
        signing.tamper(f"delete from {table} where workspace_id = '{workspace.id}'")
    assert await signing.found() == [(workspace.id, "rows_removed", 1)]


@pytest.mark.asvs("16.4.2")
async def test_a_chain_that_was_written_anew_is_found(signing: Signing) -> None:
    workspace = await signing.workspace()
    await signing.signer().write()
    await signing.rewrite(workspace)
    assert await signing.found() == [(workspace.id, "chain_rewritten", 4)]


async def test_without_a_checkpoint_a_chain_written_anew_would_pass(signing: Signing) -> None:
    """Why there are checkpoints: the chain alone cannot tell."""
    await signing.rewrite(await signing.workspace())
    assert (await signing.verify())[0] == 0


async def test_a_tail_cut_off_below_the_last_checkpoint_is_not_healed_by_the_next(signing: Signing) -> None:
    workspace = await signing.workspace()
    signer = signing.signer()
    await signer.write()
    await signing.rewrite(workspace, last=2)
    assert await signer.write() is None
    for _ in range(3):
        await workspace.password((await signing.vault.rows("select id from mailbox"))[0]["id"])
    await signer.write()
    assert await signing.found() == [(workspace.id, "chain_rewritten", 4)]


async def test_a_head_that_was_moved_alone_is_found(signing: Signing) -> None:
    workspace = await signing.workspace()
    signing.tamper("update audit_head set sequence = 9")
    assert await signing.found() == [(workspace.id, "head_differs", 5)]


async def test_one_tampered_workspace_does_not_accuse_another(signing: Signing) -> None:
    workspaces = [await signing.workspace() for _ in range(3)]
    await signing.signer().write()
    signing.tamper(
        f"update audit_entry set reason = '' where workspace_id = '{workspaces[1].id}' and sequence = 2"
    )
    assert await signing.found() == [(workspaces[1].id, "row_changed", 2)]


async def test_only_what_moved_is_signed_again(signing: Signing) -> None:
    quiet, busy = await signing.workspace(), await signing.workspace()
    signer = signing.signer()
    first = await signer.write()
    assert first is not None
    assert await signer.write() is None
    await busy.password(
        (await signing.vault.rows("select id from mailbox where workspace_id = :w", w=busy.id))[0]["id"]
    )
    second = await signing.signer().write()  # another process, which reads what is there first
    assert second is not None
    assert (first.name, second.name) == ("000000000001.checkpoint", "000000000002.checkpoint")
    heads = json.loads(second.read_text().split("\n")[0])["heads"]
    assert [(workspace, sequence) for workspace, sequence, _ in heads] == [(busy.id, 5)]
    assert quiet.id in first.read_text()
    assert first.stat().st_mode & 0o777 == 0o444


async def test_of_two_workers_at_once_one_writes_the_file(signing: Signing) -> None:
    await signing.workspace()
    signers = [signing.signer() for _ in range(8)]
    written = await asyncio.gather(*(signer.write() for signer in signers))
    assert len([path for path in written if path]) == 1
    assert [path.name for path in signing.directory.iterdir()] == ["000000000001.checkpoint"]
    assert await asyncio.gather(*(signer.write() for signer in signers)) == [None] * 8
    assert (await signing.verify())[0] == 0


@pytest.mark.parametrize("wrong", ["forged", "other key", "missing", "exchanged", "cut off"])
async def test_a_checkpoint_that_is_not_genuine_is_named_and_not_built_upon(
    signing: Signing, wrong: str
) -> None:
    signer = signing.signer()
    for _ in range(3):
        await signing.workspace(1)
        await signer.write()
    first, second, third = sorted(signing.directory.iterdir())
    if wrong == "forged":
        payload, signature, _ = second.read_text().split("\n")
        replace(second, payload.replace("ws_", "ws_0", 1) + "\n" + signature + "\n")
    elif wrong == "other key":
        signing.public_key.write_bytes(public_pem(private_key(signing.directory.parent / "another.key")))
    elif wrong == "missing":
        second.unlink()
    elif wrong == "exchanged":
        replace(second, first.read_text())
    else:
        replace(third, third.read_text()[:40])
    code, document = await signing.verify()
    assert (code, document["ok"], document["tampered"]) == (1, False, [])
    named = {"other key": first, "cut off": third}.get(wrong, second)
    assert named.name in document["checkpoints_wrong"]
    if wrong != "other key":
        with pytest.raises(CheckpointWrong):
            await signing.signer().write()


def replace(path: Path, content: str) -> None:
    path.unlink()
    path.write_text(content)


async def test_the_worker_writes_them_when_it_is_told_where(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signing.workspace()
    monkeypatch.setenv("SC_AUDIT_CHECKPOINT_DIR", str(signing.directory))
    with pytest.raises(ValueError, match="together"):
        WorkerSettings()
    monkeypatch.setenv("SC_AUDIT_KEY_FILE", str(signing.key_file))
    database = Database(signing.vault.database.worker_url)
    (_, task) = worker.tasks_of(WorkerSettings(), database)
    assert isinstance(task, Periodic)
    await task.run()
    await database.dispose()
    assert (await signing.verify())[1]["checkpointed_rows"] == 4
