"""Shapes of the webhook. Of an event only what is needed to look it up is kept."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class WebhookTaken(BaseModel):
    """`new` is false for an event that was known already."""

    received: bool = True
    new: bool


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class EventObject(_Lenient):
    id: str = Field(min_length=1, max_length=255)


class EventData(_Lenient):
    object: EventObject


class StripeEventBody(_Lenient):
    id: str = Field(pattern=r"^evt_[A-Za-z0-9_]{1,250}$")
    type: str = Field(min_length=1, max_length=100)
    data: EventData
