"""Everything that the vault listens to."""

from __future__ import annotations

from services.vault.mailboxes.consumers import on_credential_applied, on_mailbox_removed
from services.vault.servers.consumers import on_server_deleted, on_server_ready
from services.vault.workspaces.consumers import on_workspace_deleted
from shared.bus.binding import Binding
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.provisioner_events import (
    MailboxCredentialApplied,
    MailboxRemoved,
    ServerDeleted,
    ServerReady,
)

BINDINGS: tuple[Binding, ...] = (
    Binding(
        queue="vault.on-credential-applied", event=MailboxCredentialApplied, handler=on_credential_applied
    ),
    Binding(queue="vault.on-mailbox-removed", event=MailboxRemoved, handler=on_mailbox_removed),
    Binding(queue="vault.on-server-ready", event=ServerReady, handler=on_server_ready),
    Binding(queue="vault.on-server-deleted", event=ServerDeleted, handler=on_server_deleted),
    Binding(queue="vault.on-workspace-deleted", event=WorkspaceDeleted, handler=on_workspace_deleted),
)
