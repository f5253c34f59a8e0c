"""Shapes of what gateways ask. Only they may."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from shared.ids import AccountId, SessionId, WorkspaceId

Role = Literal["owner", "admin", "member"]


class Membership(BaseModel):
    workspace_id: str
    account_id: str
    role: Role


class AuthoritySnapshot(BaseModel):
    """All memberships, and the sessions that ended while access tokens of theirs may still be valid.

    Complete up to event number `sequence` of the authority stream.
    """

    sequence: int
    memberships: list[Membership]
    revoked_sessions: list[str]


class SessionQuestion(BaseModel):
    """Is this session alive, and which role has its account in the workspace?"""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["session"]
    session_id: SessionId
    account_id: AccountId
    workspace_id: WorkspaceId | None = None


class ApiKeyQuestion(BaseModel):
    """Whose key is this?"""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["api_key"]
    key: SecretStr = Field(max_length=128)


Question = Annotated[SessionQuestion | ApiKeyQuestion, Field(discriminator="kind")]


class Introspection(BaseModel):
    """`active` false says all. For a key, `role` is its maker's present role: a key dies with its maker's rights.

    `allowed_networks` (CIDR) are where the key may come from; none means anywhere. The gateway, which knows the
    caller's address, holds it to that.
    """

    active: bool
    account_id: str | None = None
    role: Role | None = None
    workspace_id: str | None = None
    key_id: str | None = None
    scopes: list[str] = []
    allowed_networks: list[str] = []
    expires_at: datetime | None = None
