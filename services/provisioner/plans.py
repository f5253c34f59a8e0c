"""Plans, prices, regions and zones, read from `plans.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.provisioner.errors import UnknownPlan, UnknownZone


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Plan(_Row):
    """`amount_cents` per month. `commercial_types` are tried in order when one is out of stock. `product` and
    `lookup_key` are the names of plan and price at the payment provider."""

    id: str
    name: str
    description: str
    product: str = Field(pattern=r"^[a-z0-9_]{1,100}$")
    lookup_key: str = Field(pattern=r"^[a-z0-9_]{1,100}$")
    amount_cents: int = Field(gt=0)
    currency: str = Field(pattern=r"^[a-z]{3}$")
    domains: int = Field(gt=0)
    mailboxes: int = Field(gt=0)
    commercial_types: tuple[str, ...] = Field(min_length=1)


DunningName = Literal["outbound_paused", "read_only", "destroyed"]
EXPORT_DAYS = 30
"""So long, at the least, mail can still be read and fetched before it is destroyed."""


class DunningStep(_Row):
    """What follows a payment that is owed: `after_days` after the step before, `notice_days` after its announcement."""

    step: DunningName
    after_days: int = Field(ge=1)
    notice_days: int = Field(ge=1)


class Region(_Row):
    id: str
    name: str
    country: str = Field(pattern=r"^[A-Z]{2}$")
    zones: tuple[str, ...]


class Catalogue(_Row):
    """All that can be bought, and where."""

    plans: tuple[Plan, ...]
    regions: tuple[Region, ...]
    dunning: tuple[DunningStep, ...]

    @model_validator(mode="after")
    def _ladder(self) -> Self:
        if [one.step for one in self.dunning] != list(get_args(DunningName)):
            raise ValueError(f"the ladder of dunning is {get_args(DunningName)}, in this order")
        if self.dunning[-1].after_days < EXPORT_DAYS:
            raise ValueError(f"between read-only and destroyed lie at least {EXPORT_DAYS} days")
        return self

    def dunning_after(self, step: str) -> DunningStep | None:
        """What follows `step` (`past_due` before the first one); None after the last."""
        names = ["past_due", *(one.step for one in self.dunning)]
        following = names.index(step)
        return self.dunning[following] if following < len(self.dunning) else None

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        return cls.model_validate(tomllib.loads(path.read_text()))

    def plan(self, plan_id: str) -> Plan:
        """Raises UnknownPlan."""
        for plan in self.plans:
            if plan.id == plan_id:
                return plan
        raise UnknownPlan(
            f"There is no plan {plan_id!r}.",
            field="body.plan",
            next_action="See GET /v1/regions for the plans.",
        )

    def check_zone(self, zone: str) -> str:
        """Raises UnknownZone."""
        if zone not in self.zones():
            raise UnknownZone(
                f"There is no zone {zone!r}.",
                field="body.zone",
                next_action="See GET /v1/regions for the zones.",
            )
        return zone

    def places(self, zone: str) -> tuple[str, ...]:
        """The zone, then those that may stand in for it: what comes after it in its region's list."""
        for region in self.regions:
            if zone in region.zones:
                return region.zones[region.zones.index(zone) :]
        return (zone,)

    def zones(self) -> tuple[str, ...]:
        return tuple(zone for region in self.regions for zone in region.zones)
