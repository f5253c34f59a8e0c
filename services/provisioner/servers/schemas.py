"""Servers as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.ids import AddressId, JobId, ServerId, SubscriptionId

ServerState = Literal[
    "provisioning", "ready", "degraded", "stalled", "restarting", "rescue", "rebuilding", "cancelling"
]


class ConditionView(BaseModel):
    """One aspect. `status` is "true", "false" or "unknown"; `message` is for people."""

    type: str
    status: Literal["true", "false", "unknown"]
    reason: str
    message: str
    last_transition_at: datetime


class AddressView(BaseModel):
    """An address in use, or one that was refused and by which lists."""

    id: AddressId
    address: str
    family: Literal[4, 6]
    attempt: int
    state: Literal["checking", "clean", "live", "burned", "released"]
    verdict: str | None
    listings: list[dict[str, Any]]
    clean: list[str]
    unknown: list[str]
    reverse_name: str | None
    checked_at: datetime | None
    released_at: datetime | None


class ServerView(BaseModel):
    id: ServerId
    subscription_id: SubscriptionId
    plan: str
    zone: str
    hostname: str
    state: ServerState
    message: str
    ipv4: str | None
    ipv6: str | None
    generation: int
    observed_generation: int
    created_at: datetime
    ready_at: datetime | None


class EvidenceView(BaseModel):
    """`self_test`: the rows of the last run (id, layer, title, ok, evidence). `layers`: the same, counted for each of
    encryption, authentication, dns, hardening, compliance. `steps`: what each step saw."""

    self_test: list[dict[str, Any]]
    layers: dict[str, dict[str, int]]
    tested_at: datetime | None
    steps: dict[str, dict[str, Any]]


class ServerDetail(ServerView):
    conditions: list[ConditionView]
    addresses: list[AddressView]
    ssh_host_key_sha256: str | None
    bundle_version: str | None
    records: list[dict[str, Any]]
    evidence: EvidenceView


class CancelServer(BaseModel):
    """`confirm_name` is the server's full host name."""

    model_config = ConfigDict(extra="forbid")

    confirm_name: str = Field(max_length=253)
    reason: str = Field(min_length=1, max_length=500)


class OrderServer(BaseModel):
    """`reason` is kept in the audit log."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500)


class RebuildServer(BaseModel):
    """`confirm_name` is the server's full host name. `mail_is_lost` says that you know what goes with the disk: all
    mail in its mailboxes, unless you have copied it elsewhere (by IMAP) before, and what still waits to be sent."""

    model_config = ConfigDict(extra="forbid")

    confirm_name: str = Field(max_length=253)
    mail_is_lost: Literal[True]
    reason: str = Field(min_length=1, max_length=500)


class OrderAccepted(BaseModel):
    """Follow the job: its steps say how far the order has got."""

    job_id: JobId
