"""Facts that reputation publishes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts.audit import AuditRecorded
from shared.contracts.envelope import EventData


class Listing(BaseModel):
    """One list that lists the address; `codes` are the A records it answered (RFC 5782)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    blacklist: str
    tier: int
    codes: tuple[str, ...]
    meaning: str
    reason: str = ""
    delist_url: str = ""


class AddressChecked(EventData):
    """Subject: the address. `verdict` refuses only on what is known: unknown lists are named, never counted."""

    type: ClassVar[str] = "reputation.address.checked.v1"
    workspace_id: str
    server_id: str
    address_id: str
    address: str
    verdict: Literal["clean", "listed", "unknown"]
    listings: tuple[Listing, ...] = ()
    clean: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class AddressListed(EventData):
    """Subject: the address. A living server's address was listed, seen twice."""

    type: ClassVar[str] = "reputation.address.listed.v1"
    workspace_id: str
    server_id: str
    address_id: str
    address: str
    listings: tuple[Listing, ...]


class AddressCleared(EventData):
    """Subject: the address. Lists that had it, seen twice, do not have it any more; `remaining` still do."""

    type: ClassVar[str] = "reputation.address.cleared.v1"
    workspace_id: str
    server_id: str
    address_id: str
    address: str
    cleared: tuple[str, ...]
    remaining: tuple[str, ...] = ()


class ReputationAuditRecorded(AuditRecorded):
    type: ClassVar[str] = "reputation.audit.recorded.v1"
