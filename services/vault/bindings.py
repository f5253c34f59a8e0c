"""Everything that the vault listens to."""

from __future__ import annotations

from services.vault.app_passwords.consumers import on_passwords_used
from services.vault.mailboxes.consumers import (
    on_credential_applied,
    on_mailbox_moved,
    on_mailbox_removed,
)
from services.vault.servers.consumers import on_server_deleted, on_server_ready
from services.vault.webmail.consumers import on_api_key_revoked, on_membership_changed
from services.vault.workspaces.consumers import on_workspace_deleted
from shared.bus.binding import Binding
from shared.contracts.auth_events import ApiKeyRevoked, MembershipChanged, WorkspaceDeleted
from shared.contracts.provisioner_events import (
    MailboxCredentialApplied,
    MailboxMoved,
    MailboxPasswordsUsed,
    MailboxRemoved,
    ServerDeleted,
    ServerReady,
)

BINDINGS: tuple[Binding, ...] = (
    Binding(
        queue="vault.on-credential-applied", event=MailboxCredentialApplied, handler=on_credential_applied
    ),
    Binding(queue="vault.on-mailbox-moved", event=MailboxMoved, handler=on_mailbox_moved),
    Binding(queue="vault.on-mailbox-removed", event=MailboxRemoved, handler=on_mailbox_removed),
    Binding(queue="vault.on-passwords-used", event=MailboxPasswordsUsed, handler=on_passwords_used),
    Binding(queue="vault.on-server-ready", event=ServerReady, handler=on_server_ready),
    Binding(queue="vault.on-server-deleted", event=ServerDeleted, handler=on_server_deleted),
    Binding(queue="vault.on-membership-changed", event=MembershipChanged, handler=on_membership_changed),
    Binding(queue="vault.on-api-key-revoked", event=ApiKeyRevoked, handler=on_api_key_revoked),
    Binding(queue="vault.on-workspace-deleted", event=WorkspaceDeleted, handler=on_workspace_deleted),
)
