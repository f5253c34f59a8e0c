"""Shapes of the mailbox routes. The internal call's are in shared/contracts/vault_api.py."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

# At least three characters between its first and last visible one, and no NUL, which PostgreSQL cannot store.
_THREE_CHARACTERS = r"^[^\x00]*[^\s\x00][^\x00]+[^\s\x00][^\x00]*$"

Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=_THREE_CHARACTERS)]


class RevealRequest(BaseModel):
    """`reason` is kept in the audit log, word for word."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class RevealResponse(BaseModel):
    """`state` is `pending` until the host has said that it accepts this version."""

    mailbox_id: str
    address: str
    username: str
    password: str
    version: int
    state: Literal["pending", "current"]
    changed_at: datetime


class NewPassword(BaseModel):
    """12 to 256 visible ASCII characters, the first a letter or digit; none that is known from leaks."""

    model_config = ConfigDict(extra="forbid")

    password: Annotated[SecretStr, Field(min_length=1, max_length=1024)]
    reason: Reason


class RenewPassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Reason


class PasswordChange(BaseModel):
    """The old password opens the mailbox until the job is done, and never again. The job is there as soon as the
    provisioner has heard of the change."""

    mailbox_id: str
    version: int
    job_id: str
