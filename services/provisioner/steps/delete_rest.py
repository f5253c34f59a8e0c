"""Disks, addresses and packet filter, one thing a pass. Gone already is gone."""

from __future__ import annotations

from services.provisioner.models import CloudResource, Condition
from services.provisioner.ports import CloudBusy, CloudNotFound
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.creation import forget
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.delete_instance import instances
from services.provisioner.steps.giving_back import give_back
from shared.crashpoint import crashpoint

LOOK_SECONDS = 0.5


REOPEN = {
    "instance": ("Stopped", "InstanceDeleted"),
    "ip": ("AddressesReleased",),
    "volume": ("VolumesDeleted",),
    "security_group": ("SecurityGroupDeleted",),
}


async def reopen(work: Work, kinds: set[str]) -> None:
    """Something of these kinds turned up after its step was done: the step is done again."""
    async with work.write() as write:
        for kind in kinds:
            for name in REOPEN[kind]:
                condition = await write.session.get(Condition, (write.server.id, name))
                if condition is not None:
                    condition.status, condition.reason, condition.due_at = "unknown", "Reopened", None


def booked(work: Work, kind: str) -> dict[str, CloudResource]:
    """Rows of that kind which have something at the cloud, by its id."""
    return {
        row.external_id: row
        for row in work.known.resources
        if row.kind == kind and row.state == "bound" and row.external_id is not None
    }


class DeleteVolumes(Step):
    """A disk survives its instance, and is in use for a moment after it."""

    name = "delete_volumes"
    title = "Delete the disks"
    condition = "VolumesDeleted"
    needs = ("delete_instance",)
    deadline = 180.0

    async def run(self, work: Work) -> Outcome:
        zone, cloud = work.server.zone, work.ports.cloud
        rows = booked(work, "volume")
        listed = {one.id for one in await cloud.list_volumes(zone, tags.server(work.server.id))}
        for volume_id in sorted(listed | set(rows)):
            try:
                if (await cloud.get_volume(zone, volume_id)).in_use:
                    return Wait(LOOK_SECONDS, "Detaching", "A disk is still being detached.")
                crashpoint("delete.volume.before")
                await cloud.delete_volume(zone, volume_id)
                crashpoint("delete.volume.after")
            except CloudNotFound:
                if volume_id not in rows:
                    continue  # a list that lags behind
            if volume_id in rows:
                await forget(work, rows[volume_id])
            return Wait(0, "VolumeDeleted")
        return Done("No disk is left")


class ReleaseAddresses(Step):
    name = "release_addresses"
    title = "Give the addresses back"
    condition = "AddressesReleased"
    needs = ("delete_instance",)
    deadline = 180.0

    async def run(self, work: Work) -> Outcome:
        zone, cloud = work.server.zone, work.ports.cloud
        rows = booked(work, "ip")
        listed = {one.id for one in await cloud.list_ips(zone, tags.server(work.server.id))}
        for ip_id in sorted(listed | set(rows)):
            try:
                crashpoint("delete.ip.before")
                await cloud.release_ip(zone, ip_id)
                crashpoint("delete.ip.after")
            except CloudNotFound:
                if ip_id not in rows:
                    continue  # a list that lags behind
            if ip_id in rows:
                await give_back(work, rows[ip_id])
            return Wait(0, "AddressReleased")
        return Done("No address is left")


class DeleteSecurityGroup(Step):
    name = "delete_security_group"
    title = "Delete the packet filter"
    condition = "SecurityGroupDeleted"
    needs = ("delete_instance",)
    deadline = 180.0

    async def run(self, work: Work) -> Outcome:
        zone, cloud = work.server.zone, work.ports.cloud
        rows = booked(work, "security_group")
        listed = {one.id for one in await cloud.list_security_groups(zone, tags.server(work.server.id))}
        for group_id in sorted(listed | set(rows)):
            try:
                crashpoint("delete.security_group.before")
                await cloud.delete_security_group(zone, group_id)
                crashpoint("delete.security_group.after")
            except CloudNotFound:
                if group_id not in rows:
                    continue  # a list that lags behind
            except CloudBusy:
                if not await instances(work):
                    raise
                # A list had left out a server that still uses it: without another look we would wait for ever.
                await reopen(work, {"instance"})
                return Wait(0, "ServerFound", "A server turned up late; it is deleted first.")
            if group_id in rows:
                await forget(work, rows[group_id])
            return Wait(0, "SecurityGroupDeleted")
        return Done("No packet filter is left")
