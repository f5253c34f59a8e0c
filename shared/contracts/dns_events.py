"""Facts that dns publishes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts.audit import AuditRecorded
from shared.contracts.envelope import EventData


class ZoneProven(EventData):
    """Subject: the zone. This workspace, and no other, controls the name."""

    type: ClassVar[str] = "dns.zone.proven.v1"
    workspace_id: str
    zone_id: str
    name: str


class ZoneRemoved(EventData):
    """Subject: the zone."""

    type: ClassVar[str] = "dns.zone.removed.v1"
    workspace_id: str
    zone_id: str
    name: str


class RecordState(BaseModel):
    """One record set as seen at every authoritative server and through the validating resolver."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    type: str
    state: Literal["verified", "pending", "conflict", "missing", "wrong"]
    dnssec: bool
    detail: str = ""


class DomainState(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    domain_id: str
    name: str
    verified: bool


class NamesetVerified(EventData):
    """Subject: the server. What is true in DNS now for this generation; published at each change of it.

    `forward` = A, AAAA, TLSA and companions of the host name are all verified; `reverse` = PTR v4 and v6 point
    back to it. For a withdrawn set both mean "gone".
    """

    type: ClassVar[str] = "dns.nameset.verified.v1"
    workspace_id: str
    server_id: str
    generation: int
    withdrawn: bool = False
    forward: bool
    reverse: bool
    domains: tuple[DomainState, ...] = ()
    records: tuple[RecordState, ...] = ()


class DomainVerified(EventData):
    """Subject: the sending domain. All its records are seen as they should be: for the first time, or again."""

    type: ClassVar[str] = "dns.domain.verified.v1"
    workspace_id: str
    server_id: str
    domain_id: str
    name: str


class DomainBroken(EventData):
    """Subject: the sending domain. It was verified, and `records` (name and type) are missing or wrong now."""

    type: ClassVar[str] = "dns.domain.broken.v1"
    workspace_id: str
    server_id: str
    domain_id: str
    name: str
    records: tuple[str, ...]


class WorkspaceEmptied(EventData):
    """Subject: the workspace. Answer to its deletion request: no record of ours is left in any zone."""

    type: ClassVar[str] = "dns.workspace.emptied.v1"
    workspace_id: str


class DnsAuditRecorded(AuditRecorded):
    type: ClassVar[str] = "dns.audit.recorded.v1"
