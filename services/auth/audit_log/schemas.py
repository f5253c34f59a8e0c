"""Shape of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class AuditView(BaseModel):
    """Who did what to what, when and why. `row_hash` chains the rows of `service` (SHA-256, hex)."""

    id: str
    service: str
    sequence: int
    at: datetime
    actor_kind: Literal["user", "api_key", "service", "system"]
    actor_id: str
    action: str
    target: str
    outcome: Literal["ok", "denied", "failed"]
    reason: str | None
    data: dict[str, Any]
    row_hash: str
