"""Results as stored and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

Verdict = Literal["clean", "listed", "unknown"]
Status = Literal["listed", "policy", "clean", "unknown"]


class ListResult(BaseModel):
    """What one list said. `reason` is the list's own text for a listing, or why nothing is known."""

    blacklist: str
    tier: int
    status: Status
    codes: list[str] = []
    meaning: str = ""
    reason: str = ""
    delist_url: str = ""


class CheckView(BaseModel):
    at: datetime
    verdict: Verdict
    results: list[ListResult]


class ListingView(BaseModel):
    """A listing of a living server's address. `confirmed_at` is empty until it was seen twice."""

    blacklist: str
    tier: int
    codes: list[str]
    meaning: str
    reason: str
    delist_url: str
    first_seen: datetime
    last_seen: datetime
    confirmed_at: datetime | None
    cleared_at: datetime | None


class AddressView(BaseModel):
    """One address that the server has or had. `state`: candidate (reserved, not in use), live, released."""

    id: str
    address: str
    family: int
    attempt: int
    state: Literal["candidate", "live", "released"]
    last_check: CheckView | None
    listings: list[ListingView]


class ReputationView(BaseModel):
    server_id: str
    addresses: list[AddressView]
