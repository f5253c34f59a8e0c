"""Shapes of webhooks and their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.http.public import MAX_URL

EventName = Literal[
    "job.step",
    "server.ready",
    "server.stalled",
    "server.degraded",
    "server.recovered",
    "server.deleted",
    "address.refused",
    "address.listed",
    "address.cleared",
    "domain.verified",
    "domain.broken",
    "subscription.activated",
    "subscription.payment_failed",
    "subscription.dunning_announced",
    "subscription.dunning_advanced",
    "subscription.restored",
    "subscription.refunded",
    "subscription.ended",
]
"""`events.py` says what each of them is."""

DisabledReason = Literal["by_hand", "gone", "exhausted"]
"""`gone`: the server answered 410. `exhausted`: nothing was taken for as long as one message is tried."""

DeliveryState = Literal["pending", "delivered", "failed"]

Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_URL),
    Field(examples=["https://hooks.example.com/sendchief"]),
]
Events = Annotated[list[EventName], Field(min_length=1, max_length=50)]


class CreateWebhook(BaseModel):
    """`url` is https, to a host of the public DNS, at port 443 or 8443."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: Events


class ChangeWebhook(BaseModel):
    """What is not named stays as it is."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    events: Events | None = None
    enabled: bool | None = None


class RotateSecret(BaseModel):
    """For `overlap_hours` messages are signed with both secrets."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(default=24, ge=0, le=168)


class WebhookView(BaseModel):
    """`previous_secret_until`: the secret before the last rotation signs along until then."""

    id: str
    url: str
    events: list[EventName]
    enabled: bool
    disabled_reason: DisabledReason | None
    version: int
    created_by: str
    created_at: datetime
    last_success_at: datetime | None
    previous_secret_until: datetime | None


class WebhookWithSecret(WebhookView):
    """`secret` (`whsec_…`) is shown this once. It is null when the request is repeated."""

    secret: str | None


class DeliveryView(BaseModel):
    """One event for one webhook. `event_id` is what the receiver gets as `webhook-id`, at each attempt the same.

    `response_status` and `error` are of the last attempt: one of the two is there once something was tried.
    """

    id: str
    event_id: str
    event: EventName
    state: DeliveryState
    attempts: int
    response_status: int | None
    error: str | None
    created_at: datetime
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
