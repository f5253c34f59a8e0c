"""Sending domains as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from services.provisioner.hosts.desired import DomainName
from shared.ids import DomainId, JobId, ServerId


def _plain(value: object) -> object:
    """Case and a final dot make no difference (RFC 1035 section 2.3.3)."""
    return value.strip().rstrip(".").lower() if isinstance(value, str) else value


class CreateDomain(BaseModel):
    """`name` is a zone whose control the workspace has proven."""

    model_config = ConfigDict(extra="forbid")

    server_id: ServerId
    name: Annotated[DomainName, BeforeValidator(_plain)]


class MoveDomain(BaseModel):
    """`server_id` is another server of the same workspace; or, while the domain moves, the one that it comes from: then
    it goes back there."""

    model_config = ConfigDict(extra="forbid")

    server_id: ServerId


class DkimKeyView(BaseModel):
    selector: str
    algorithm: Literal["rsa", "ed25519"]
    public_key: str


class DomainView(BaseModel):
    """`awaiting_dns`: look at the zone's DNS plan and apply it. `moving`: it is served by the server that it comes from
    (`moving_from`) until its mailboxes are opened on `server_id`."""

    id: DomainId
    server_id: ServerId
    moving_from: ServerId | None
    zone_id: str
    name: str
    state: Literal["pending", "moving", "awaiting_dns", "securing", "ready", "removing"]
    dns_verified: bool
    dkim: list[DkimKeyView]
    dmarc_policy: str
    created_at: datetime
    ready_at: datetime | None


class DomainAccepted(BaseModel):
    id: DomainId
    job_id: JobId


class RemovalAccepted(BaseModel):
    job_id: JobId


class MoveAccepted(BaseModel):
    job_id: JobId
