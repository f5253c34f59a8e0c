"""Failures of other people's APIs, by what can be done about them.

VendorError
├── VendorUnavailable    no answer, a 5xx, a broken connection: the outcome is unknown, observe before repeating
├── VendorRateLimited    429; `retry_after` seconds
├── VendorAuthFailed     401 or 403: our credential is bad, a person has to look
└── VendorRejected       any other 4xx: the request itself is at fault; `status`, `code`, `body`
"""

from __future__ import annotations

from typing import Any


class VendorError(Exception):
    """`vendor` names whose API it was."""

    def __init__(self, message: str, *, vendor: str = "") -> None:
        super().__init__(f"{vendor}: {message}" if vendor else message)
        self.vendor = vendor


class VendorUnavailable(VendorError):
    def __init__(self, message: str = "no answer", *, vendor: str = "", status: int | None = None) -> None:
        super().__init__(message, vendor=vendor)
        self.status = status


class VendorRateLimited(VendorError):
    def __init__(self, retry_after: float, *, vendor: str = "") -> None:
        super().__init__(f"rate limited for {retry_after:g} s", vendor=vendor)
        self.retry_after = retry_after


class VendorAuthFailed(VendorError):
    def __init__(
        self, message: str = "the credential was refused", *, vendor: str = "", status: int = 401
    ) -> None:
        super().__init__(message, vendor=vendor)
        self.status = status


class VendorRejected(VendorError):
    def __init__(self, status: int, code: str, body: Any = None, *, vendor: str = "") -> None:
        super().__init__(f"{status} {code}", vendor=vendor)
        self.status = status
        self.code = code
        self.body = body
