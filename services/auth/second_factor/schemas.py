"""Shapes of the second factor."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

State = Literal["off", "pending", "on"]


class PasswordAgain(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: SecretStr = Field(max_length=1024)


class FirstCode(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: Annotated[
        SecretStr, Field(min_length=6, max_length=12, description="Six digits, as the app shows them")
    ]


class SecondFactorView(BaseModel):
    state: State
    on_since: datetime | None
    recovery_codes_left: int


class AuthenticatorKey(BaseModel):
    """Shown once. `otpauth_uri` is for a QR code, `secret` (base32) for typing."""

    otpauth_uri: str
    secret: str


class RecoveryCodes(BaseModel):
    """Shown once. Each stands in for the authenticator a single time."""

    recovery_codes: list[str]
