"""Shapes of the app password routes. The password itself is in the answer of the call that made it, and in no other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from services.vault.mailboxes.schemas import Reason

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$"),
]


class NewAppPassword(BaseModel):
    """`name` says which tool gets it. `reason` goes to the audit log."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    reason: Reason


class AppPasswordCreated(BaseModel):
    """`password` is shown this once; it opens the mailbox when the job `job_id` is done."""

    id: str
    mailbox_id: str
    name: str
    username: str
    password: str | None
    version: int
    job_id: str


class AppPasswordView(BaseModel):
    """`pending` until the host accepts it; `revoking` while the host may still. `tool` is the export format that it was
    made for. `last_used_at` is the minute of the last sign-in with it that its host has told of; hosts are asked every
    six hours, and when anything changes on them."""

    id: str
    mailbox_id: str
    name: str
    tool: str | None
    version: int
    state: Literal["pending", "active", "revoking"]
    created_by: str
    created_at: datetime
    last_used_at: datetime | None


class Revocation(BaseModel):
    mailbox_id: str
    version: int
    job_id: str
