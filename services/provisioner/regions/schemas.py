"""What is offered."""

from __future__ import annotations

from pydantic import BaseModel


class PriceView(BaseModel):
    """Per month, without tax."""

    amount_cents: int
    currency: str
    interval: str = "month"


class PlanView(BaseModel):
    id: str
    name: str
    description: str
    price: PriceView
    domains: int
    mailboxes: int


class ZoneView(BaseModel):
    id: str
    plans: list[str]


class RegionView(BaseModel):
    id: str
    name: str
    country: str
    zones: list[ZoneView]


class RegionsView(BaseModel):
    """`items` are the regions; each zone lists the plans that can be bought there."""

    items: list[RegionView]
    plans: list[PlanView]
    next_cursor: str | None = None
