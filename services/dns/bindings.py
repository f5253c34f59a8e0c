"""All that dns listens to."""

from __future__ import annotations

from services.dns.servers.consumers import on_dns_desired
from services.dns.workspaces.consumers import on_deletion_requested, on_workspace_deleted
from shared.bus.binding import Binding
from shared.contracts.auth_events import WorkspaceDeleted, WorkspaceDeletionRequested
from shared.contracts.provisioner_events import ServerDnsDesired

BINDINGS: tuple[Binding, ...] = (
    Binding(queue="dns.on-desired", event=ServerDnsDesired, handler=on_dns_desired),
    Binding(queue="dns.on-workspace", event=WorkspaceDeletionRequested, handler=on_deletion_requested),
    Binding(queue="dns.on-workspace", event=WorkspaceDeleted, handler=on_workspace_deleted),
)
