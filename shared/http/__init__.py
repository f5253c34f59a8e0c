"""Outgoing HTTP: to vendors, and between our services."""

from shared.http.client import (
    AsyncClient,
    CallNotAllowed,
    HTTPError,
    InternalClient,
    Response,
    retry_after,
    vendor_client,
    vendor_request,
)
from shared.http.errors import (
    VendorAuthFailed,
    VendorError,
    VendorRateLimited,
    VendorRejected,
    VendorUnavailable,
)

__all__ = [
    "AsyncClient",
    "CallNotAllowed",
    "HTTPError",
    "InternalClient",
    "Response",
    "VendorAuthFailed",
    "VendorError",
    "VendorRateLimited",
    "VendorRejected",
    "VendorUnavailable",
    "retry_after",
    "vendor_client",
    "vendor_request",
]
