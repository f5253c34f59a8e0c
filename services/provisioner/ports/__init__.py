"""The outside world as the provisioner sees it: a cloud, a payment provider, the vault, the self-test.

The hosts have a port of their own (`hosts/port.py`).
"""

from __future__ import annotations

from services.provisioner.ports.cloud import (
    Availability,
    BootType,
    CloudBusy,
    CloudDenied,
    CloudError,
    CloudInstance,
    CloudIp,
    CloudNotFound,
    CloudOutOfStock,
    CloudPaused,
    CloudPort,
    CloudQuota,
    CloudRateLimited,
    CloudRefused,
    CloudRule,
    CloudSecurityGroup,
    CloudUnavailable,
    CloudVolume,
    InstanceRequest,
    Limit,
    MachineType,
)
from services.provisioner.ports.payments import (
    BillingPort,
    CheckoutPort,
    CheckoutSession,
    PaymentError,
    PaymentInvoice,
    PaymentPage,
    PaymentPrice,
    PaymentProduct,
    PaymentSubscription,
    PricesPort,
)
from services.provisioner.ports.self_test import SelfTestPort, TestRow
from services.provisioner.ports.vault import VaultPort, VaultUnavailable, WebmailKey

__all__ = [
    "Availability",
    "BillingPort",
    "BootType",
    "CheckoutPort",
    "CheckoutSession",
    "CloudBusy",
    "CloudDenied",
    "CloudError",
    "CloudInstance",
    "CloudIp",
    "CloudNotFound",
    "CloudOutOfStock",
    "CloudPaused",
    "CloudPort",
    "CloudQuota",
    "CloudRateLimited",
    "CloudRefused",
    "CloudRule",
    "CloudSecurityGroup",
    "CloudUnavailable",
    "CloudVolume",
    "InstanceRequest",
    "Limit",
    "MachineType",
    "PaymentError",
    "PaymentInvoice",
    "PaymentPage",
    "PaymentPrice",
    "PaymentProduct",
    "PaymentSubscription",
    "PricesPort",
    "SelfTestPort",
    "TestRow",
    "VaultPort",
    "VaultUnavailable",
    "WebmailKey",
]
