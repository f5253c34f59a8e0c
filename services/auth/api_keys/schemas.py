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


class CreateApiKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        StringConstraints(
            min_length=1, max_length=80, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f<>]+$"
        ),
    ]
    scopes: list[Scope] = Field(min_length=1, max_length=20)
    expires_in_days: int = Field(default=90, ge=1, le=365)


class ApiKeyView(BaseModel):
    """`prefix` is what may be shown and searched for in logs; the rest of the key is never seen again."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


class CreatedApiKey(ApiKeyView):
    """`key` is shown this once. It is null when the request is repeated."""

    key: str | None
