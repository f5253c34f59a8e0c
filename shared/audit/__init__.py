"""`from shared import audit` then `await audit.record(session, …)`."""

# Each producer's audit event registers itself when its contract is imported.
from shared.audit.audit import record
from shared.audit.chain import first_break, row_hash
from shared.contracts import auth_events, dns_events, provisioner_events, reputation_events, vault_events

__all__ = [
    "auth_events",
    "dns_events",
    "first_break",
    "provisioner_events",
    "record",
    "reputation_events",
    "row_hash",
    "vault_events",
]
