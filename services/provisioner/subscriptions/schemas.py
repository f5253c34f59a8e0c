"""Subscriptions as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.ids import ServerId, SubscriptionId


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
    """What happens by itself: the next period is charged, the subscription ends as was asked for, or, while a payment
    is owed, the next step is taken."""

    what: Literal["renewal", "end", "outbound_paused", "read_only", "destroyed"]
    at: datetime


class DunningView(BaseModel):
    """A payment is owed. `step` was taken last, `announced` is told to be next. Payment restores all, until it is
    destroyed."""

    step: Literal["past_due", "outbound_paused", "read_only", "destroyed"]
    since: datetime
    announced: Literal["outbound_paused", "read_only", "destroyed"] | None


class ReceiptView(BaseModel):
    """The server is gone, and nothing of it is left at the data centre."""

    server_id: ServerId
    hostname: str
    reason: str
    ordered_at: datetime | None
    destroyed_at: datetime


class StopView(BaseModel):
    """The server cannot be made for now. Nothing is charged meanwhile: wait, which needs nothing, or
    `POST …/subscriptions/{id}/refund`."""

    reason: Literal["AddressesRefused", "OutOfStock", "QuotaExceeded"]
    message: str
    since: datetime
    choices: list[Literal["wait", "refund"]] = ["wait", "refund"]


class RefundView(BaseModel):
    """All that was paid goes back. `amount` in cents, once it is done."""

    state: Literal["requested", "done"]
    amount: int | None
    currency: str | None
    requested_at: datetime
    done_at: datetime | None


class SubscriptionView(BaseModel):
    """`checkout_url` is where to pay, while the status is pending. A page that nobody has paid expires after a day:
    nothing was charged then, and a new subscription opens a new page."""

    id: SubscriptionId
    plan: str
    zone: str
    status: Literal["pending", "expired", "active", "past_due", "ended", "refused"]
    checkout_url: str | None
    created_at: datetime
    activated_at: datetime | None
    ended_at: datetime | None
    price: PriceView | None
    next: NextView | None
    dunning: DunningView | None
    stop: StopView | None
    refund: RefundView | None
    receipt: ReceiptView | None
