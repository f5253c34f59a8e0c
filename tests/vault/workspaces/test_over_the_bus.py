"""The worker process on a real broker: auth says that a workspace ended, the vault answers that it is shredded."""

from __future__ import annotations

from pathlib import Path

from services.vault.bindings import BINDINGS
from shared.bus.binding import Binding
from shared.bus.testing import envelope_for
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.vault_events import VaultAuditRecorded, WorkspaceShredded
from tests.fixtures.bus import Rabbit
from tests.vault.conftest import Vault
from tests.vault.worker_process import heard, nothing, said, worker

LISTENERS = (
    Binding(queue="auth.on-shredded", event=WorkspaceShredded, handler=nothing),
    Binding(queue="auth.on-vault-audit", event=VaultAuditRecorded, handler=nothing),
)


async def test_the_worker_shreds_and_says_so(vault: Vault, rabbit: Rabbit, tmp_path: Path) -> None:
    await rabbit.declare((*BINDINGS, *LISTENERS))
    workspace = vault.workspace()
    await workspace.mailbox()
    event = WorkspaceDeleted(workspace_id=workspace.id)
    sent = envelope_for(event, subject=workspace.id, aggregate_version=4)
    async with worker(vault, rabbit, tmp_path):
        await said(rabbit, "auth", sent)
        answer = await heard(rabbit, "auth", "auth.on-shredded")
    assert answer.subject == workspace.id
    assert answer.aggregateversion == 4
    assert answer.data == {"workspace_id": workspace.id, "data_keys": 1, "secrets": 1}
    left = await vault.rows("select state, wrapped from data_key where scope = :w", w=workspace.id)
    assert left == [{"state": "shredded", "wrapped": None}]
