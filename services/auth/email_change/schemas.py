"""Shapes of changing the address."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.auth.accounts.schemas import EmailInput
from services.auth.sessions.schemas import Code


class ChangeEmail(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: EmailInput
    password: SecretStr = Field(max_length=1024)
    code: Code | None = None


class ChangeAccepted(BaseModel):
    """The same whether the new address has an account or not."""

    status: Literal["check_your_mail"] = "check_your_mail"


class ConfirmChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=4096)


class ChangeConfirmed(BaseModel):
    status: Literal["confirmed"] = "confirmed"


class UndoChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=4096)
    password: SecretStr = Field(max_length=1024)


class ChangeUndone(BaseModel):
    status: Literal["undone"] = "undone"
