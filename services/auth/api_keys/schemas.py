"""Shapes of API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Scope = Literal[
    "servers:read",
    "servers:write",
    "domains:read",
    "domains:write",
    "mailboxes:read",
    "mailboxes:write",
    "credentials:export",
    "members:read",
    "members:write",
    "billing:write",
    "audit:read",
    "zones:read",
    "zones:write",
    "reputation:read",
]


Network = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class CreateApiKey(BaseModel):
    """With `allowed_networks` (CIDR, IPv4 or IPv6) the key works from there only; without, from anywhere."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        StringConstraints(
            min_length=1, max_length=80, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f<>]+$"
        ),
    ]
    scopes: list[Scope] = Field(min_length=1, max_length=20)
    expires_in_days: int = Field(default=90, ge=1, le=365)
    allowed_networks: list[Network] = Field(default=[], max_length=20)


class RotateApiKey(BaseModel):
    """`expires_in_days` is the life of the new key."""

    model_config = ConfigDict(extra="forbid")

    expires_in_days: int = Field(default=90, ge=1, le=365)


class ApiKeyView(BaseModel):
    """`prefix` is what may be shown and searched for in logs; the rest of the key is never seen again.

    `rotated_from` and `replaced_by` are the ids of the key before and after it.
    """

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    allowed_networks: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    rotated_from: str | None
    replaced_by: str | None
    last_used_at: datetime | None


class CreatedApiKey(ApiKeyView):
    """`key` is shown this once. It is null when the request is repeated."""

    key: str | None
