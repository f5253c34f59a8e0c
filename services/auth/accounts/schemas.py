"""Shapes of sign-up and of the signed-in person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

EmailInput = Annotated[str, StringConstraints(min_length=3, max_length=254)]
PersonName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f<>]+$"),
]


class SignupRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: EmailInput
    password: SecretStr = Field(max_length=1024)
    name: PersonName


class SignupAccepted(BaseModel):
    """The same for a known and an unknown address: the mail tells the difference."""

    status: Literal["check_your_mail"] = "check_your_mail"


class ConfirmRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=4096)


class Confirmed(BaseModel):
    status: Literal["confirmed"] = "confirmed"


class AccountView(BaseModel):
    id: str
    email: str
    name: str
    created_at: datetime
