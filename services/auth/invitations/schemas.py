"""Shapes of invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints


class CreateInvitation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, StringConstraints(min_length=3, max_length=254)]
    role: Literal["admin", "member"] = "member"


class InvitationView(BaseModel):
    id: str
    email: str
    role: Literal["admin", "member"]
    state: Literal["open", "accepted", "revoked", "expired"]
    invited_by: str
    created_at: datetime
    sends: int
    expires_at: datetime


class AcceptInvitation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=4096)


class AcceptedInvitation(BaseModel):
    workspace_id: str
    role: Literal["admin", "member"]
