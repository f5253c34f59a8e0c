"""The worker process on a real broker: auth says that a workspace ended, the vault answers that it is shredded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aio_pika

from services.vault.bindings import BINDINGS
from shared.bus.binding import Binding
from shared.bus.connection import EXCHANGE
from shared.bus.testing import envelope_for
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.envelope import Envelope
from shared.contracts.vault_events import VaultAuditRecorded, WorkspaceShredded
from tests.fixtures.bus import Rabbit
from tests.vault.conftest import Vault

ROOT = Path(__file__).parents[3]


async def nothing(*_: object) -> None:
    """The listener of the test declares queues and reads them itself."""


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
    process = subprocess.Popen(  # noqa: ASYNC220 (it is started once and does not wait)
        [sys.executable, "-m", "services.vault.worker"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SC_SOCKET": str(tmp_path / "w.sock"),
            "SC_DATABASE_URL": vault.database.worker_url,
            "SC_AMQP_URL": rabbit.url("vault"),
            "SC_IDENTITY_TRUST_DIR": str(vault.trust.directory),
            "SC_KEY_SERVICE_SOCKET": str(tmp_path / "never-asked.sock"),
        },
        stderr=subprocess.DEVNULL,
    )
    connection = await aio_pika.connect(rabbit.url("auth"))
    try:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        message = aio_pika.Message(
            sent.model_dump_json(exclude_none=True).encode(), message_id=sent.id, type=sent.type
        )
        await exchange.publish(message, sent.type)
        queue = await channel.get_queue("auth.on-shredded", ensure=False)
        async with asyncio.timeout(30), queue.iterator() as messages:
            heard = Envelope.model_validate_json((await anext(messages)).body)
    finally:
        await connection.close()
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
    assert heard.subject == workspace.id
    assert heard.aggregateversion == 4
    assert heard.data == {"workspace_id": workspace.id, "data_keys": 1, "secrets": 1}
    left = await vault.rows("select state, wrapped from data_key where scope = :w", w=workspace.id)
    assert left == [{"state": "shredded", "wrapped": None}]
