"""Subscriptions as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.ids import SubscriptionId


class CreateSubscription(BaseModel):
    """`plan` and `zone` as GET /v1/regions lists them."""

    model_config = ConfigDict(extra="forbid")

    plan: str = Field(min_length=1, max_length=40)
    zone: str = Field(min_length=1, max_length=40)


class PriceView(BaseModel):
    """Per month, without tax, as it was bought."""

    amount_cents: int
    currency: str


class NextView(BaseModel):
    """What happens by itself: the next period is charged, or the subscription ends as was asked for."""

    what: Literal["renewal", "end"]
    at: datetime


class SubscriptionView(BaseModel):
    """`checkout_url` is where to pay, while the status is pending."""

    id: SubscriptionId
    plan: str
    zone: str
    status: Literal["pending", "active", "past_due", "ended", "refused"]
    checkout_url: str | None
    created_at: datetime
    activated_at: datetime | None
    ended_at: datetime | None
    price: PriceView | None
    next: NextView | None
