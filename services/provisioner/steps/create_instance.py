"""The server itself: created stopped, behind the chosen addresses, with our tags. It starts later, once it is bound."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from services.provisioner.models import CloudResource
from services.provisioner.ports import CloudError, CloudInstance, CloudOutOfStock, InstanceRequest
from services.provisioner.reconciler.creation import Recipe, make
from services.provisioner.reconciler.failures import outcome_of
from services.provisioner.reconciler.outcomes import Done, Fatal, Outcome, Wait
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps.base import Step
from services.provisioner.steps.bind import book_volumes
from services.provisioner.steps.choose_place import place_of


class CreateInstance(Step):
    name = "create_instance"
    title = "Create the server"
    condition = "InstanceCreated"
    needs = ("check_reputation", "security_group", "retire_instance", "leave_zone")
    deadline = 300.0

    async def run(self, work: Work) -> Outcome:
        row = work.resource("instance")
        if row is not None and row.state == "bound":
            return Done(
                f"{row.request['commercial_type']} in {row.zone}, switched off",
                {"instance": row.external_id, "commercial_type": row.request["commercial_type"]},
            )
        request: dict[str, Any] = {}
        if row is None or row.state == "planned":
            # At the first try the size that was found to be there with the place is simply asked for.
            found = work.server.commercial_type if row is None else None
            chosen = found or await self._choose(work)
            if chosen is None:
                return await self._elsewhere(work)
            request = (await self._request(work, chosen)).model_dump(mode="json")
        outcome = await make(work, self._recipe(work, request))
        if isinstance(outcome, Fatal) and outcome.reason == "OutOfStock":
            if work.server.commercial_type:
                return Wait(0, "NextSize", f"Out of stock; trying {work.server.commercial_type}.")
            return await self._elsewhere(work)
        return outcome

    async def _elsewhere(self, work: Work) -> Outcome:
        """This zone has none of the plan's sizes: on to the next of its region. A server that was ever Ready stays
        where its addresses are."""
        later = work.ports.catalogue.places(work.server.zone)[1:]
        found = None if work.server.ever_ready else await place_of(work, later)
        if found is None:
            return outcome_of(CloudOutOfStock("every size of the plan is out of stock"))
        async with work.write() as write:
            write.server.moving_to = found[0]
        return Wait(
            0, "NextZone", f"{work.server.zone} has no server of this size left; moving to {found[0]}."
        )

    async def _choose(self, work: Work) -> str | None:
        """The first size of the plan that is said to be there; after a refusal, what the refusal left over."""
        types = work.ports.catalogue.plan(work.server.plan).commercial_types
        start = types.index(work.server.commercial_type) if work.server.commercial_type in types else 0
        stock = await work.ports.cloud.availability(work.server.zone)
        return next((name for name in types[start:] if stock.get(name, "shortage") != "shortage"), None)

    async def _request(self, work: Work, commercial_type: str) -> InstanceRequest:
        cloud, zone = work.ports.cloud, work.server.zone
        image = await cloud.find_image(zone, work.settings.scaleway_image, commercial_type)
        slots = {
            row.id: row.external_id for row in work.known.resources if row.kind == "ip" and row.external_id
        }
        chosen = [row for row in map(work.candidate, (4, 6)) if row is not None]
        return InstanceRequest(
            name=work.server.hostname,
            commercial_type=commercial_type,
            image=image,
            ip_ids=tuple(slots[row.resource_id] for row in chosen),
            security_group_id=str(work.bound("security_group").external_id),
        )

    def _recipe(self, work: Work, request: dict[str, Any]) -> Recipe[CloudInstance]:
        cloud, zone = work.ports.cloud, work.server.zone
        types = work.ports.catalogue.plan(work.server.plan).commercial_types

        async def call(stored: dict[str, Any], tags: Sequence[str]) -> CloudInstance:
            return await cloud.create_instance(zone, InstanceRequest.model_validate(stored), tags)

        async def bound(write: Write, row: CloudResource, instance: CloudInstance) -> None:
            write.server.image = work.settings.scaleway_image
            await book_volumes(write, row, instance)

        def refused(write: Write, error: CloudError) -> None:
            """Out of stock although said to be available: the next size is tried, or the first one later."""
            if isinstance(error, CloudOutOfStock):
                left = types[types.index(request["commercial_type"]) + 1 :]
                write.server.commercial_type = left[0] if left else None

        return Recipe(
            kind="instance",
            slot="main",
            request=request,
            call=call,
            find=partial(cloud.list_instances, zone),
            identify=lambda instance: (instance.id, instance.tags),
            details=lambda instance: {"volume_ids": list(instance.volume_ids)},
            on_bound=bound,
            on_refused=refused,
        )
