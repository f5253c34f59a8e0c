"""Shape of the report of who has read which password."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, computed_field

Way = Literal["reveal", "export", "app_password"]


class CredentialRead(BaseModel):
    """What one caller has seen of one mailbox.

    `address` is null when the mailbox is gone. `still_valid`: something that was seen opens the mailbox now, so it is
    to be changed when the reader leaves (POST …/credential-reads/rotate). `password_valid` and `app_password_ids` say
    what: the mailbox's own password, and those app passwords.
    """

    mailbox_id: str
    address: str | None
    actor_kind: Literal["user", "api_key", "service", "system"]
    actor_id: str
    reads: int
    ways: list[Way]
    first_at: datetime
    last_at: datetime
    password_valid: bool
    app_password_ids: list[str]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def still_valid(self) -> bool:
        return self.password_valid or bool(self.app_password_ids)
