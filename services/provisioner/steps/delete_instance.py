"""Switching off and deleting. What is found by our tag goes too, whether or not we ever learned its id."""

from __future__ import annotations

import contextlib

from services.provisioner.ports import CloudInstance, CloudNotFound
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.creation import forget, window_left
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.bind import book_volumes, tag_volume
from shared.crashpoint import crashpoint

LOOK_SECONDS = 0.5


async def instances(work: Work) -> list[CloudInstance]:
    """The bound instance and whatever else carries our tag, as the cloud shows it now."""
    zone, cloud = work.server.zone, work.ports.cloud
    found = {one.id: one for one in await cloud.list_instances(zone, tags.server(work.server.id))}
    row = work.resource("instance")
    if row is not None and row.external_id is not None and row.external_id not in found:
        # Neither in the list nor by its id: gone, and the tombstone looks twice more.
        with contextlib.suppress(CloudNotFound):
            found[row.external_id] = await cloud.get_instance(zone, row.external_id)
    return [found[key] for key in sorted(found)]


class PowerOff(Step):
    name = "power_off"
    title = "Switch the server off"
    condition = "Stopped"
    needs = ("reset_reverse",)
    deadline = 180.0

    async def run(self, work: Work) -> Outcome:
        for instance in await instances(work):
            if instance.state == "running":
                await work.ports.cloud.power_off(work.server.zone, instance.id)
                return Wait(LOOK_SECONDS, "Stopping", "The server is being switched off.")
            if instance.state in ("starting", "stopping"):
                return Wait(LOOK_SECONDS, "Stopping", "The server is being switched off.")
            if instance.state != "stopped":
                return Retry("busy", f"state {instance.state}", f"The server is {instance.state}.")
        return Done("The server is off")


class DeleteInstance(Step):
    name = "delete_instance"
    title = "Delete the server"
    condition = "InstanceDeleted"
    needs = ("power_off",)
    deadline = 600.0

    async def run(self, work: Work) -> Outcome:
        found = await instances(work)
        for instance in found:
            if instance.state == "running":
                await work.ports.cloud.power_off(work.server.zone, instance.id)
                return Wait(LOOK_SECONDS, "Stopping")
            if instance.state == "stopped":
                return await self._delete(work, instance)
        if found:
            return Wait(LOOK_SECONDS, "Deleting")
        row = work.resource("instance")
        if row is not None and row.state in ("intent", "unknown") and (left := window_left(work)) > 0:
            # What follows belongs to an instance that may still turn up: its packet filter could not be deleted.
            return Wait(
                min(left, LOOK_SECONDS), "QuietWindow", "Waiting until no late answer can make a server."
            )
        if row is not None and row.state == "bound":
            await forget(work, row)
        return Done("The server is deleted")

    async def _delete(self, work: Work, instance: CloudInstance) -> Outcome:
        """Its disks come on the books and get our tags first, also those of one that turned up late: a disk that
        nobody can find again would be paid for ever."""
        rows = [one for one in work.known.resources if one.kind == "instance"]
        row = work.resource("instance") or (
            rows[-1] if rows else None
        )  # it may turn up after the books were closed
        if row is not None:
            disks = {one.external_id: one for one in work.known.resources if one.kind == "volume"}
            if set(instance.volume_ids) - set(disks):
                async with work.write() as write:
                    await book_volumes(write, row, instance)
                return Wait(0, "VolumesBooked")
            for volume in map(disks.__getitem__, instance.volume_ids):
                if volume.state == "bound" and not volume.details.get("tagged"):
                    return await tag_volume(work, volume)
        crashpoint("delete.instance.before")
        await work.ports.cloud.delete_instance(work.server.zone, instance.id)
        crashpoint("delete.instance.after")
        return Wait(0.2, "Deleting")
