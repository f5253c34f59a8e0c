"""Shapes of changing and resetting a password."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from services.auth.sessions.schemas import Code


class ChangePassword(BaseModel):
    model_config = ConfigDict(extra="forbid")

    current_password: SecretStr = Field(max_length=1024)
    new_password: SecretStr = Field(max_length=1024)
    code: Code | None = None


class PasswordChanged(BaseModel):
    """The session that asked goes on; the others have ended."""

    ended_sessions: int


class RequestReset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, StringConstraints(min_length=3, max_length=254)]


class ResetRequested(BaseModel):
    """The same for a known and an unknown address."""

    status: Literal["check_your_mail"] = "check_your_mail"


class CompleteReset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=4096)
    password: SecretStr = Field(max_length=1024)


class PasswordSet(BaseModel):
    status: Literal["password_set"] = "password_set"
