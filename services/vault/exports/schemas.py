"""Shapes of the export routes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from services.vault.exports.catalogue import formats
from services.vault.mailboxes.schemas import Reason
from shared.ids import MailboxId


def _known(name: str) -> str:
    if name not in formats():
        raise ValueError(f"the formats are {', '.join(formats())}")
    return name


Format = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(formats())})]


class NewExport(BaseModel):
    """`mailbox_ids` null means every mailbox that the workspace has now. `reason` goes to the audit log.

    Each mailbox's app password for this format is handed out, made when there is none; with `main_password` the
    mailbox's own password instead.
    """

    model_config = ConfigDict(extra="forbid")

    format: Format
    mailbox_ids: Annotated[list[MailboxId], Field(min_length=1, max_length=10_000)] | None = None
    reason: Reason
    main_password: bool = False


class ExportCreated(BaseModel):
    """`token` is shown this once: POST it to …/exports/{id}/download before `expires_at`.

    `verified_on` is the day on which the target was seen to take such a file; null with `unverified` says why not.
    Both are null for SendChief's own formats.
    """

    id: str
    token: str | None
    expires_at: datetime
    verified_on: date | None
    unverified: str | None


class ExportView(BaseModel):
    """`waiting` mailboxes' servers do not accept the app password yet; the file is there when it is 0."""

    id: str
    format: str
    mailboxes: int
    main_password: bool
    waiting: int
    reason: str
    state: Literal["open", "used", "expired"]
    created_by: str
    created_at: datetime
    expires_at: datetime
    redeemed_at: datetime | None
    redeemed_by: str | None


class DownloadRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: Annotated[SecretStr, Field(min_length=1, max_length=128)]
