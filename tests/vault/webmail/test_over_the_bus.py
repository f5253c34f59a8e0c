"""The worker process on a real broker: auth says that somebody left, the vault tells the provisioner what to end."""

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
from shared.contracts.auth_events import MembershipChanged
from shared.contracts.envelope import Envelope
from shared.contracts.vault_events import MailboxWebmailEnded, VaultAuditRecorded
from tests.fixtures.bus import Rabbit
from tests.vault.conftest import Vault
from tests.vault.webmail.test_ending import opened, ready
from tests.vault.workspaces.test_over_the_bus import nothing

ROOT = Path(__file__).parents[3]
LISTENERS = (
    Binding(queue="provisioner.on-mailbox", event=MailboxWebmailEnded, handler=nothing),
    Binding(queue="auth.on-vault-audit", event=VaultAuditRecorded, handler=nothing),
)


async def test_who_left_is_heard_of_and_what_he_opened_is_told(
    vault: Vault, rabbit: Rabbit, tmp_path: Path
) -> None:
    await rabbit.declare((*BINDINGS, *LISTENERS))
    workspace, mailbox_id, key = await ready(vault)
    sign_in = await opened(workspace, mailbox_id, key)
    event = MembershipChanged(workspace_id=workspace.id, account_id=workspace.owner, role=None, sequence=3)
    sent = envelope_for(event, subject=workspace.id, aggregate_version=3)
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
    speaking = await aio_pika.connect(rabbit.url("auth"))
    listening = await aio_pika.connect(rabbit.url("provisioner"))
    try:
        exchange = await (await speaking.channel()).get_exchange(EXCHANGE, ensure=False)
        body = sent.model_dump_json(exclude_none=True).encode()
        await exchange.publish(aio_pika.Message(body, message_id=sent.id, type=sent.type), sent.type)
        queue = await (await listening.channel()).get_queue("provisioner.on-mailbox", ensure=False)
        async with asyncio.timeout(30), queue.iterator() as messages:
            heard = Envelope.model_validate_json((await anext(messages)).body)
    finally:
        await speaking.close()
        await listening.close()
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
    told = MailboxWebmailEnded.model_validate(heard.data)
    assert (told.mailbox_id, told.ended, told.version) == (mailbox_id, [sign_in], 1)
