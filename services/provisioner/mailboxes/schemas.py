"""Mailboxes as the API shows them. A password is never among it: that is the vault's to reveal."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.ids import DomainId, JobId, MailboxId, ServerId

LocalPart = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"
    ),
]


class CreateMailbox(BaseModel):
    """`local_part` is what stands before the @: letters, digits, dot, hyphen, underscore."""

    model_config = ConfigDict(extra="forbid")

    local_part: LocalPart
    display_name: str = Field(default="", max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")


class Endpoint(BaseModel):
    host: str
    port: int
    security: Literal["tls", "starttls"]


class ClientSettings(BaseModel):
    """What a mail program asks for (RFC 8314: implicit TLS first)."""

    username: str
    authentication: Literal["password"] = "password"
    imap: Endpoint
    submission: Endpoint
    submission_fallback: Endpoint
    webmail_url: str


class MailboxView(BaseModel):
    id: MailboxId
    server_id: ServerId
    domain_id: DomainId
    address: str
    display_name: str
    state: Literal["pending", "active", "removing"]
    credential_version: int
    client_settings: ClientSettings
    created_at: datetime
    active_at: datetime | None


class MailboxAccepted(BaseModel):
    id: MailboxId
    address: str
    job_id: JobId


class RemovalAccepted(BaseModel):
    job_id: JobId
