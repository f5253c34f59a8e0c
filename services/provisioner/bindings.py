"""All that the provisioner listens to."""

from __future__ import annotations

from services.provisioner.domains.consumers import on_zone_proven, on_zone_removed
from services.provisioner.mailboxes.consumers import on_credentials_changed, on_webmail_ended
from services.provisioner.servers.consumers import on_address_checked, on_nameset_verified
from services.provisioner.workspaces.consumers import on_deletion_requested, on_workspace_deleted
from shared.bus.binding import Binding
from shared.contracts.auth_events import WorkspaceDeleted, WorkspaceDeletionRequested
from shared.contracts.dns_events import NamesetVerified, ZoneProven, ZoneRemoved
from shared.contracts.reputation_events import AddressChecked
from shared.contracts.vault_events import MailboxCredentialsChanged, MailboxWebmailEnded

BINDINGS: tuple[Binding, ...] = (
    Binding(queue="provisioner.on-address", event=AddressChecked, handler=on_address_checked),
    Binding(queue="provisioner.on-names", event=NamesetVerified, handler=on_nameset_verified),
    Binding(queue="provisioner.on-zone", event=ZoneProven, handler=on_zone_proven),
    Binding(queue="provisioner.on-zone", event=ZoneRemoved, handler=on_zone_removed),
    Binding(queue="provisioner.on-mailbox", event=MailboxCredentialsChanged, handler=on_credentials_changed),
    Binding(queue="provisioner.on-mailbox", event=MailboxWebmailEnded, handler=on_webmail_ended),
    Binding(
        queue="provisioner.on-workspace", event=WorkspaceDeletionRequested, handler=on_deletion_requested
    ),
    Binding(queue="provisioner.on-workspace", event=WorkspaceDeleted, handler=on_workspace_deleted),
)
