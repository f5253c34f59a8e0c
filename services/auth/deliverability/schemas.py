"""Shapes of what the mail provider tells, and of what people are shown of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from shared.ids import id_pattern

SuppressionId = Annotated[str, StringConstraints(pattern=id_pattern("spr"))]
Reason = Literal["bounced", "complained"]


class WebhookTaken(BaseModel):
    """`new` is false for an event that was known already."""

    received: bool = True
    new: bool


class MailState(BaseModel):
    """Whether mails reach the caller's address. `detail` is what the other mail server answered."""

    email: str
    deliverable: bool
    reason: Reason | None = None
    detail: str = ""
    since: datetime | None = None
    until: datetime | None = None


class UndeliverableView(BaseModel):
    """An address of the workspace that mail does not reach. `of` is the member or the invitation."""

    id: str
    of: str
    email: str
    reason: Reason
    detail: str
    since: datetime
    until: datetime | None


class UndeliverableList(BaseModel):
    items: list[UndeliverableView]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Bounce(_Lenient):
    type: str = ""
    message: str = ""


class EventData(_Lenient):
    email_id: str = Field(default="", max_length=128)
    to: list[str] = Field(default_factory=list, max_length=50)
    bounce: Bounce = Field(default_factory=Bounce)
    tags: dict[str, str] = Field(default_factory=dict)


class MailEvent(_Lenient):
    """https://resend.com/docs/dashboard/webhooks/event-types"""

    type: str = Field(pattern=r"^[a-z_.]{1,64}$")
    created_at: AwareDatetime
    data: EventData
