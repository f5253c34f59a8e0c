"""What an audit row looks like to others: each service publishes its own, auth's log projects them all."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from shared.contracts.envelope import EventData

Outcome = Literal["ok", "denied", "failed"]


class AuditRecorded(EventData):
    """Subject: the audit row. `data` holds references and reasons, never a secret."""

    audit_id: str
    workspace_id: str
    sequence: int
    at: datetime
    actor_kind: Literal["user", "api_key", "service", "system"]
    actor_id: str
    action: str
    target: str
    outcome: Outcome
    reason: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    row_hash: str
