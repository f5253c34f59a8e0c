"""Refusals in Scaleway's own shapes. A client tells them apart by `type`, not by the status.

Sources: answers recorded in the test cassettes of the Terraform provider, and the error types of the Go SDK
(scaleway-sdk-go, scw/errors.go) where none is recorded.
"""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


class ScalewayError(Exception):
    """One refusal: HTTP status and JSON body (None: an empty body)."""

    def __init__(self, status: int, body: Body | None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def not_found(resource: str, identifier: str) -> ScalewayError:
    """`resource` as the API spells it: instance_server, instance_ip, volume, ssh_key, MarketplaceImage…"""
    message = {"message": "resource is not found", "resource": resource, "resource_id": identifier}
    return ScalewayError(404, {"type": "not_found", **message})


def invalid(argument: str, reason: str, help_message: str = "") -> ScalewayError:
    """400 for one argument; `reason` is required, format, constraint or unknown."""
    return invalid_all([{"argument_name": argument, "reason": reason, "help_message": help_message}])


def invalid_all(details: list[Body]) -> ScalewayError:
    return ScalewayError(
        400, {"type": "invalid_arguments", "message": "invalid argument(s)", "details": details}
    )


def invalid_request(message: str) -> ScalewayError:
    """The legacy 400 of Instance v1."""
    return ScalewayError(400, {"type": "invalid_request_error", "message": message})


def denied_authentication(reason: str) -> ScalewayError:
    """`reason`: invalid_argument (no usable key), not_found (unknown key) or expired."""
    body = {"type": "denied_authentication", "message": "authentication is denied", "method": "api_key"}
    return ScalewayError(401, {**body, "reason": reason})


def permissions_denied(action: str, resource: str) -> ScalewayError:
    details = [{"action": action, "resource": resource}]
    body = {"type": "permissions_denied", "message": "insufficient permissions", "details": details}
    return ScalewayError(403, body)


def quotas_exceeded(resource: str, quota: int, current: int) -> ScalewayError:
    details = [{"resource": resource, "quota": quota, "current": current, "scope": "organization"}]
    return ScalewayError(403, {"type": "quotas_exceeded", "message": "quota(s) exceeded", "details": details})


def transient_state(resource: str, identifier: str, state: str) -> ScalewayError:
    body = {"type": "transient_state", "message": "resource is in a transient state", "current_state": state}
    return ScalewayError(409, {**body, "resource": resource, "resource_id": identifier})


def precondition_failed(help_message: str, precondition: str = "resource_still_in_use") -> ScalewayError:
    body = {"type": "precondition_failed", "message": "precondition is not respected"}
    return ScalewayError(412, {**body, "precondition": precondition, "help_message": help_message})


def out_of_stock(resource: str) -> ScalewayError:
    return ScalewayError(
        412, {"type": "out_of_stock", "message": "resource is out of stock", "resource": resource}
    )


def too_many_requests() -> ScalewayError:
    """No body and no Retry-After are documented for it."""
    return ScalewayError(429, {"type": "too_many_requests", "message": "too many requests"})


def internal(status: int = 500) -> ScalewayError:
    return ScalewayError(status, {"type": "unknown", "message": "internal error"})
