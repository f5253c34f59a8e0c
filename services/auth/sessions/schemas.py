"""Shapes of sign-in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Code = Annotated[
    SecretStr,
    Field(
        min_length=6,
        max_length=40,
        description="Six digits of the authenticator, or a recovery code; needed once the second factor is on.",
    ),
]


class SignInRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, StringConstraints(min_length=3, max_length=254)]
    password: SecretStr = Field(max_length=1024)
    code: Code | None = None


class Reauthentication(BaseModel):
    """The password again, and `code` where there is a second factor."""

    model_config = ConfigDict(extra="forbid")

    password: SecretStr = Field(max_length=1024)
    code: Code | None = None


class TokenView(BaseModel):
    """RFC 6749 section 5.1. The refresh token is in the cookie, where scripts cannot read it."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the type's name
    expires_in: int


class SessionView(BaseModel):
    """One sign-in. `network` is the /24 or /48 it was last used from, `current` the one that asks."""

    id: str
    device: str
    network: str
    signed_in_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class EndedSessions(BaseModel):
    ended: int


class JsonWebKey(BaseModel):
    kty: Literal["EC"]
    crv: Literal["P-256"]
    alg: Literal["ES256"]
    use: Literal["sig"]
    kid: str
    x: str
    y: str


class JsonWebKeySet(BaseModel):
    """RFC 7517."""

    keys: list[JsonWebKey]
