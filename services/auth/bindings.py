"""Everything that auth listens to."""

from __future__ import annotations

from services.auth.audit_log.consumers import on_audit_recorded
from services.auth.deletion.consumers import on_cloud_emptied, on_shredded, on_zones_emptied
from services.auth.notifications.consumers import BINDINGS as NOTIFICATIONS
from services.auth.threats.consumers import on_threat_observed
from services.auth.webhooks.consumers import BINDINGS as WEBHOOKS
from shared.bus.binding import Binding
from shared.contracts import dns_events, provisioner_events
from shared.contracts.auth_events import AuthAuditRecorded
from shared.contracts.dns_events import DnsAuditRecorded
from shared.contracts.gateway_events import ThreatObserved
from shared.contracts.provisioner_events import ProvisionerAuditRecorded
from shared.contracts.reputation_events import ReputationAuditRecorded
from shared.contracts.vault_events import VaultAuditRecorded, WorkspaceShredded

BINDINGS: tuple[Binding, ...] = (
    Binding("auth.audit-log", AuthAuditRecorded, on_audit_recorded),
    Binding("auth.audit-log", DnsAuditRecorded, on_audit_recorded),
    Binding("auth.audit-log", ProvisionerAuditRecorded, on_audit_recorded),
    Binding("auth.audit-log", ReputationAuditRecorded, on_audit_recorded),
    Binding("auth.audit-log", VaultAuditRecorded, on_audit_recorded),
    Binding("auth.deletion", provisioner_events.WorkspaceEmptied, on_cloud_emptied),
    Binding("auth.deletion", dns_events.WorkspaceEmptied, on_zones_emptied),
    Binding("auth.deletion", WorkspaceShredded, on_shredded),
    *NOTIFICATIONS,
    Binding("auth.threats", ThreatObserved, on_threat_observed),
    *WEBHOOKS,
)
