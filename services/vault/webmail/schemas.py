"""Shapes of the webmail sign-in and of its end."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class WebmailSession(BaseModel):
    """The browser POSTs `token` as the form field `token` to `action_url`; it works once, until `expires_at`."""

    action_url: str
    token: str
    expires_at: datetime


class WebmailEnded(BaseModel):
    """`sign_ins` tokens, used or not, are ended. Their host refuses them and the sessions that came of them as soon as
    the job `job_id` is done; null when there was nothing to end."""

    mailbox_id: str
    sign_ins: int
    job_id: str | None
