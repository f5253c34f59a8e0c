"""Shape of the report of who has read which password."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

Way = Literal["reveal", "export"]


class CredentialRead(BaseModel):
    """What one caller has seen of one mailbox.

    `address` is null when the mailbox is gone. `still_valid`: the password that was seen is one that opens the mailbox
    now, so it is to be changed when the reader leaves.
    """

    mailbox_id: str
    address: str | None
    actor_kind: Literal["user", "api_key", "service", "system"]
    actor_id: str
    reads: int
    ways: list[Way]
    first_at: datetime
    last_at: datetime
    still_valid: bool
