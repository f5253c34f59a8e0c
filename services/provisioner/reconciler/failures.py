"""What an exception of a port means for the step that met it, in words for operators and for customers."""

from __future__ import annotations

from services.provisioner.hosts.port import (
    HostCommandFailed,
    HostError,
    HostKeyChanged,
    HostRefused,
    HostUnreachable,
)
from services.provisioner.ports import (
    CloudBusy,
    CloudDenied,
    CloudError,
    CloudNotFound,
    CloudOutOfStock,
    CloudPaused,
    CloudQuota,
    CloudRateLimited,
    CloudUnavailable,
    PaymentError,
    VaultUnavailable,
)
from services.provisioner.reconciler.outcomes import WAIT_OR_REFUND, Fatal, Outcome, Retry

HOUR = 3600.0


def outcome_of(error: CloudError | HostError | VaultUnavailable | PaymentError) -> Outcome:
    """Retry or Fatal."""
    if isinstance(error, CloudError):
        return _cloud(error)
    if isinstance(error, HostError):
        return _host(error)
    if isinstance(error, VaultUnavailable):
        return Retry("vault", str(error), "The password vault does not answer; trying again.")
    if error.retryable:
        return Retry("payment", str(error), "The payment provider does not answer; trying again.")
    return Fatal("PaymentRefused", f"The payment provider refused: {error}", after=HOUR)


def _cloud(error: CloudError) -> Outcome:
    match error:
        case CloudPaused():
            return Retry("rate_limited", error.detail, "We give the cloud a pause.", after=error.retry_after)
        case CloudRateLimited():
            return Retry("rate_limited", error.detail, "The cloud asks us to wait.", after=error.retry_after)
        case CloudUnavailable():
            return Retry("unavailable", error.detail, "The cloud does not answer; trying again.")
        case CloudBusy():
            return Retry("busy", error.detail, "The cloud is still at work on it.")
        case CloudNotFound():
            return Retry("unavailable", error.detail, "The cloud does not show it; looking again.")
        case CloudOutOfStock():
            return Fatal(
                "OutOfStock",
                "The data centre has no server of this size left at the moment. We try again by ourselves.",
                WAIT_OR_REFUND,
            )
        case CloudQuota():
            return Fatal(
                "QuotaExceeded",
                "We have reached our own limit at the data centre. We try again by ourselves.",
                WAIT_OR_REFUND,
            )
        case CloudDenied():
            return Fatal("CloudDenied", "The data centre refuses our account. Our operators have to look.")
        case _:
            return Fatal("CloudRefused", "The data centre refused a request of ours. Our operators have to look.",
                         evidence={"code": error.code, "detail": error.detail[:500]})  # fmt: skip


def _host(error: HostError) -> Outcome:
    match error:
        case HostUnreachable():
            return Retry("host_unreachable", str(error), "The server does not answer yet.")
        case HostKeyChanged():
            return Fatal(
                "HostKeyChanged",
                "The server shows another SSH key than the one we know. Nothing was sent to it.",
                "Our operators have to look.",
            )
        case HostRefused():
            return Retry("host_refused", str(error), "The server does not accept our sign-in.")
        case HostCommandFailed():
            return Retry("host_command", f"{error.command} {error.code}", "The server could not carry it out.",
                         evidence={"code": error.code, "detail": error.detail[:500]})  # fmt: skip
        case _:
            return Retry("host_command", str(error)[:500], "The server could not carry it out.")
