"""Shape of the webmail sign-in."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class WebmailSession(BaseModel):
    """The browser POSTs `token` as the form field `token` to `action_url`; it works once, until `expires_at`."""

    action_url: str
    token: str
    expires_at: datetime
