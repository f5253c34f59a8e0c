"""Shape of a threat."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from shared.contracts.gateway_events import ThreatAction, ThreatKind


class ThreatView(BaseModel):
    """What one sender did, `count` times between two moments, and what the gateway did about it.

    `malformed` requests, `signature`s of attacks, `probing` for things that are not there, `failed_sign_in`s,
    a `stranger` who is no member, a key in a `new_network`, a `honeytoken` touched. `source` is an address for those
    who belong to the workspace, a network for others, `many` for a summary.
    """

    id: str
    kind: ThreatKind
    action: ThreatAction
    source: str
    subject: str | None
    route: str | None
    signatures: list[str]
    count: int
    first_at: datetime
    last_at: datetime
