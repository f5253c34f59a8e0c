"""What is offered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

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


class OfferView(BaseModel):
    """One plan in one zone, as the data centre said at `seen_at`. `out_of_stock`: the next zone of the region is taken,
    and where that has none either, nothing is sold.

    `machine` is the size that would be taken now; `machine_price` what the data centre charges for it, which the plan's
    price includes. `stale`: it could not be read for a while, and may be different now.
    """

    plan: str
    availability: Literal["available", "scarce", "out_of_stock", "unknown"]
    machine: str | None
    vcpus: int | None
    memory_bytes: int | None
    machine_price: PriceView | None
    seen_at: datetime | None
    stale: bool


class ZoneView(BaseModel):
    """`plans` are sold here; `offers` say whether there is room for them now."""

    id: str
    plans: list[str]
    offers: list[OfferView]


class RegionView(BaseModel):
    id: str
    name: str
    country: str
    zones: list[ZoneView]


class CapacityView(BaseModel):
    """How many more servers our own limits at the data centres allow, over all zones: each takes one machine and two
    addresses. None: nobody has looked yet, or there is no limit. At 0 nothing is sold, and a server that is paid for
    waits until the limit is raised."""

    servers_left: int | None
    seen_at: datetime | None
    stale: bool


class RegionsView(BaseModel):
    """`items` are the regions; each zone lists the plans that can be bought there."""

    items: list[RegionView]
    plans: list[PlanView]
    capacity: CapacityView
    next_cursor: str | None = None
