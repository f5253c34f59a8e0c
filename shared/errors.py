"""The tree of expected failures. Each one becomes a problem document (RFC 9457) with a stable code.

DomainError
├── Invalid            422 invalid              the request makes no sense; `field` names the culprit
├── Unauthenticated    401 unauthenticated
│   └── StepUpRequired 401 step_up_required     the password again, recently enough (RFC 9470)
├── Forbidden          403 forbidden
├── NotFound           404 not_found            foreign, unknown and deleted look the same
├── Conflict           409 conflict
├── Gone               410 gone                 it was there once; single-use links
├── TooManyRequests    429 too_many_requests
└── Unavailable        503 unavailable          a dependency is down; try again

A 5xx other than `Unavailable` is a defect: somebody is paged.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """`detail` is shown to the caller; `extra` becomes members of the problem document."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "The request cannot be carried out"

    def __init__(
        self, detail: str = "", *, field: str | None = None, next_action: str | None = None, **extra: Any
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.field = field
        self.next_action = next_action
        self.extra = extra

    def headers(self) -> dict[str, str]:
        """Response headers that belong to this failure."""
        return {}


class Invalid(DomainError):
    status = 422
    code = "invalid"
    title = "The request is not valid"


class Unauthenticated(DomainError):
    status = 401
    code = "unauthenticated"
    title = "Sign in first"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class StepUpRequired(Unauthenticated):
    """`max_age`: how many seconds ago the person may have been authenticated (RFC 9470 section 3)."""

    code = "step_up_required"
    title = "This needs the password again"

    def __init__(self, detail: str = "", *, max_age: int, **extra: Any) -> None:
        super().__init__(
            detail,
            next_action="Send the password, and a code where there is a second factor, to "
            "POST /v1/auth/sessions/current/step-up; then repeat the request with the new access token.",
            max_age=max_age,
            **extra,
        )
        self.max_age = max_age

    def headers(self) -> dict[str, str]:
        return {
            "WWW-Authenticate": 'Bearer error="insufficient_user_authentication", '
            f'error_description="A more recent sign-in is required", max_age="{self.max_age}"'
        }


class Forbidden(DomainError):
    status = 403
    code = "forbidden"
    title = "You may not do this"


class NotFound(DomainError):
    """Rendered without `detail` of its own: the answer must not tell a foreign id from an unknown one."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(DomainError):
    status = 409
    code = "conflict"
    title = "This conflicts with the present state"


class Gone(DomainError):
    status = 410
    code = "gone"
    title = "This is no longer available"


class _RetryLater(DomainError):
    def __init__(self, detail: str = "", *, retry_after: int = 1, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class TooManyRequests(_RetryLater):
    status = 429
    code = "too_many_requests"
    title = "Too many requests"


class Unavailable(_RetryLater):
    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
