"""The worker process on a real broker: auth says that somebody left, the vault tells the provisioner what to end."""

from __future__ import annotations

from pathlib import Path

from services.vault.bindings import BINDINGS
from shared.bus.binding import Binding
from shared.bus.testing import envelope_for
from shared.contracts.auth_events import MembershipChanged
from shared.contracts.vault_events import MailboxWebmailEnded, VaultAuditRecorded
from tests.fixtures.bus import Rabbit
from tests.vault.conftest import Vault
from tests.vault.webmail.test_ending import opened, ready
from tests.vault.worker_process import heard, nothing, said, worker

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
    async with worker(vault, rabbit, tmp_path):
        await said(rabbit, "auth", sent)
        answer = await heard(rabbit, "provisioner", "provisioner.on-mailbox")
    told = MailboxWebmailEnded.model_validate(answer.data)
    assert (told.mailbox_id, told.ended, told.version) == (mailbox_id, [sign_in], 1)
