"""What the provisioner keeps. Every table of a workspace is behind row-level security (migrations/)."""

from __future__ import annotations

from services.provisioner.models.base import Base, kit
from services.provisioner.models.billing import (
    BillingComparison,
    BillingFinding,
    Invoice,
    Price,
    Refund,
    StripeEvent,
    Subscription,
)
from services.provisioner.models.cloud import CloudLimit, ProviderGate, SweepFinding, ZoneOffer
from services.provisioner.models.jobs import Job, StepTiming
from services.provisioner.models.mail import (
    AFTER_OPENING,
    BEFORE_OPENING,
    Domain,
    Mailbox,
    MailboxVerifier,
    ProvenZone,
)
from services.provisioner.models.servers import Address, CloudResource, Condition, Server, StepLog
from services.provisioner.models.workspaces import WorkspaceDeletion

__all__ = [
    "AFTER_OPENING",
    "BEFORE_OPENING",
    "Address",
    "Base",
    "BillingComparison",
    "BillingFinding",
    "CloudLimit",
    "CloudResource",
    "Condition",
    "Domain",
    "Invoice",
    "Job",
    "Mailbox",
    "MailboxVerifier",
    "Price",
    "ProvenZone",
    "ProviderGate",
    "Refund",
    "Server",
    "StepLog",
    "StepTiming",
    "StripeEvent",
    "Subscription",
    "SweepFinding",
    "WorkspaceDeletion",
    "ZoneOffer",
    "kit",
]
