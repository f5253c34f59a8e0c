"""Scaleway's refusals, by the JSON `type` and not by the status.

Sources: answers recorded in the vendor's own Terraform provider tests; error types of scaleway-sdk-go (scw/errors.go).
"""

from __future__ import annotations

from typing import Any

from services.provisioner.ports import (
    CloudBusy,
    CloudDenied,
    CloudError,
    CloudNotFound,
    CloudOutOfStock,
    CloudQuota,
    CloudRateLimited,
    CloudRefused,
    CloudUnavailable,
)
from shared.http import Response, retry_after

BUSY = frozenset({"transient_state", "precondition_failed", "locked", "conflict"})
DENIED = frozenset({"denied_authentication", "permissions_denied"})


def error_of(response: Response) -> CloudError:
    """The typed error of an answer with status 400 or above."""
    status = response.status_code
    if status == 429:
        return CloudRateLimited("too many requests", retry_after=retry_after(response, 2.0))
    if status >= 500:
        return CloudUnavailable(f"status {status}", code=str(status))
    body = _body(response)
    code = str(body.get("type", ""))
    detail = f"{status} {code}: {_detail(body)}"
    if code == "out_of_stock":
        return CloudOutOfStock(detail, code=code)
    if code == "quotas_exceeded" or "quota exceeded" in str(body.get("message", "")).lower():
        return CloudQuota(detail, code=code)
    if code in ("not_found", "unknown_resource", "resource_expired") or status == 404:
        return CloudNotFound(detail, code=code)
    if code in BUSY or status == 409:
        return CloudBusy(detail, code=code)
    if code in DENIED or status in (401, 403):
        return CloudDenied(detail, code=code)
    return CloudRefused(detail, code=code, argument=_argument(body))


def _body(response: Response) -> dict[str, Any]:
    """Some refusals have no body at all, and a proxy's is not JSON."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _details(body: dict[str, Any]) -> list[dict[str, Any]]:
    details = body.get("details")
    return [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []


def _argument(body: dict[str, Any]) -> str:
    name = next((str(item.get("argument_name", "")) for item in _details(body)), "")
    return "reverse" if name.startswith("reverse") else name


def _detail(body: dict[str, Any]) -> str:
    parts = [str(body.get("message", ""))]
    parts += [str(item.get("help_message") or item.get("resource") or "") for item in _details(body)]
    parts.append(str(body.get("help_message") or body.get("resource") or ""))
    return "; ".join(part for part in parts if part)[:500]
