"""Where the server shall stand and how large it is, before anything is reserved: the customer's zone, else the next of
its region; in each, the plan's sizes in order."""

from __future__ import annotations

from collections.abc import Sequence

from services.provisioner.ports import CloudOutOfStock
from services.provisioner.reconciler.failures import outcome_of
from services.provisioner.reconciler.outcomes import Done, Outcome
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step


async def place_of(work: Work, zones: Sequence[str]) -> tuple[str, str] | None:
    """The first of `zones` that says it has one of the plan's sizes, and that size."""
    types = work.ports.catalogue.plan(work.server.plan).commercial_types
    for zone in zones:
        stock = await work.ports.cloud.availability(zone)
        for name in types:
            if stock.get(name, "shortage") != "shortage":
                return zone, name
    return None


class ChoosePlace(Step):
    name = "choose_place"
    title = "Find a data centre with room"
    condition = "PlaceChosen"
    deadline = 120.0

    async def run(self, work: Work) -> Outcome:
        wanted = work.known.subscription.zone
        found = await place_of(work, work.ports.catalogue.places(wanted))
        if found is None:
            return outcome_of(CloudOutOfStock(f"no zone from {wanted} on has a size of the plan"))
        zone, size = found
        async with work.write() as write:
            write.server.zone, write.server.commercial_type = zone, size
        said = f"{size} in {zone}" if zone == wanted else f"{size} in {zone}, since {wanted} has none"
        return Done(said, {"zone": zone, "wanted_zone": wanted, "commercial_type": size})
