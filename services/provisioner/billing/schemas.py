"""Shapes of the webhook. Of an event only what is needed to look it up is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.ids import SubscriptionId


class WebhookTaken(BaseModel):
    """`new` is false for an event that was known already."""

    received: bool = True
    new: bool


class InvoiceView(BaseModel):
    """Amounts in cents. `hosted_url` is the payment provider's page about it, where an open one can be paid."""

    id: str
    subscription_id: SubscriptionId
    number: str | None
    status: Literal["open", "paid", "uncollectible", "void"]
    amount_due: int
    amount_paid: int
    currency: str
    created_at: datetime
    hosted_url: str | None
    pdf_url: str | None


class PortalView(BaseModel):
    """Where invoices, means of payment and cancellation are found; the address is good for a few minutes."""

    url: str


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class EventObject(_Lenient):
    """What it is about; an invoice that is only announced (`invoice.upcoming`) has no id yet."""

    id: str = Field(default="", max_length=255)


class EventData(_Lenient):
    object: EventObject


class StripeEventBody(_Lenient):
    id: str = Field(pattern=r"^evt_[A-Za-z0-9_]{1,250}$")
    type: str = Field(min_length=1, max_length=100)
    data: EventData
