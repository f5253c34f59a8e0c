"""Shapes of the export routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.vault.mailboxes.schemas import Reason
from shared.ids import MailboxId

Format = Literal["csv", "json"]


class NewExport(BaseModel):
    """`mailbox_ids` null means every mailbox that the workspace has now. `reason` goes to the audit log."""

    model_config = ConfigDict(extra="forbid")

    format: Format
    mailbox_ids: Annotated[list[MailboxId], Field(min_length=1, max_length=10_000)] | None = None
    reason: Reason


class ExportCreated(BaseModel):
    """`token` is shown this once: POST it to …/exports/{id}/download before `expires_at`."""

    id: str
    token: str | None
    expires_at: datetime


class ExportView(BaseModel):
    id: str
    format: Format
    mailboxes: int
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
