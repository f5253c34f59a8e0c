"""What can happen to a person's account."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

Kind = Literal[
    "new_device",
    "session_ended",
    "other_sessions_ended",
    "refresh_token_reused",
    "password_changed",
    "password_reset",
    "email_change_requested",
    "email_changed",
    "email_change_undone",
    "second_factor_on",
    "second_factor_off",
    "recovery_code_used",
    "recovery_codes_replaced",
    "code_guessed",
]


class SecurityEventView(BaseModel):
    """`device` and `network` are those of the request that did it."""

    id: str
    at: datetime
    kind: Kind
    device: str
    network: str
