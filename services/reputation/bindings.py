"""Everything that reputation listens to."""

from __future__ import annotations

from services.reputation.checks import consumers
from shared.bus import Binding
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.provisioner_events import AddressReleased, AddressReserved, ServerDeleted, ServerReady

BINDINGS: tuple[Binding, ...] = (
    Binding("reputation.on-address", AddressReserved, consumers.on_address_reserved),
    Binding("reputation.on-address", AddressReleased, consumers.on_address_released),
    Binding("reputation.on-server", ServerReady, consumers.on_server_ready),
    Binding("reputation.on-server", ServerDeleted, consumers.on_server_deleted),
    Binding("reputation.on-workspace", WorkspaceDeleted, consumers.on_workspace_deleted),
)
