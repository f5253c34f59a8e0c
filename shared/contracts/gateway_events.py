"""Facts that gateways publish."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from shared.contracts.envelope import EventData

ThreatKind = Literal[
    "malformed", "signature", "probing", "failed_sign_in", "stranger", "new_network", "honeytoken"
]
ThreatAction = Literal["observed", "delayed", "challenged", "blocked"]


class ThreatObserved(EventData):
    """Subject: the threat. What one sender did within some seconds, `count` times, and what was done about it.

    `workspace_id` is None when it concerns nobody in particular. `source` is an address for those who belong to the
    workspace and a network for others; "many" sums up those beyond what is told one by one. Nothing of a request's
    content is in it: `signatures` are names of ours, `route` is a line of our table.
    """

    type: ClassVar[str] = "gateway.threat.observed.v1"
    threat_id: str
    workspace_id: str | None
    kind: ThreatKind
    action: ThreatAction
    source: str
    subject: str | None
    route: str | None
    signatures: tuple[str, ...]
    count: int
    first_at: datetime
    last_at: datetime
