"""Before it is switched on, the instance is looked at: it is ours, the only one of its server, behind our addresses,
with its disk on our books."""

from __future__ import annotations

from services.provisioner.models import CloudResource
from services.provisioner.ports import CloudInstance
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.outcomes import Done, Fatal, Outcome, Wait
from services.provisioner.reconciler.strangers import hold
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint
from shared.ids import new_id


class Bind(Step):
    name = "bind"
    title = "Check that the server is ours"
    condition = "InstanceBound"
    needs = ("create_instance",)

    async def run(self, work: Work) -> Outcome:
        row = work.bound("instance")
        volumes = [one for one in work.known.resources if one.kind == "volume" and one.state == "bound"]
        for volume in volumes:
            if not volume.details.get("tagged"):
                return await tag_volume(work, volume)
        instance, others = await self._look(work, str(row.external_id))
        if (held := hold(work, others)) is not None:
            return held
        expected = set(row.request["ip_ids"])
        if tags.resource(row.id) not in instance.tags or set(instance.ip_ids) != expected:
            return Fatal(
                "BindMismatch",
                "The data centre shows another server than the one we asked for. It stays switched off.",
                evidence={
                    "instance": instance.id,
                    "ip_ids": list(instance.ip_ids),
                    "expected": sorted(expected),
                },
            )
        if set(instance.volume_ids) - {one.external_id for one in volumes}:
            async with work.write() as write:
                await book_volumes(write, row, instance)
            return Wait(0, "VolumesBooked")
        return Done(
            f"{instance.id} with {len(volumes)} disk and {len(expected)} addresses",
            {
                "instance": instance.id,
                "state": instance.state,
                "volumes": [one.external_id for one in volumes],
            },
        )

    async def _look(self, work: Work, instance_id: str) -> tuple[CloudInstance, list[CloudInstance]]:
        """The instance, and what else carries the server's tag: one call shows both, unless the list lags behind."""
        cloud, zone = work.ports.cloud, work.server.zone
        listed = {one.id: one for one in await cloud.list_instances(zone, tags.server(work.server.id))}
        instance = listed.pop(instance_id, None) or await cloud.get_instance(zone, instance_id)
        return instance, list(listed.values())


async def tag_volume(work: Work, volume: CloudResource) -> Outcome:
    """A disk that carries our tags can be found again, whatever becomes of its row."""
    wanted = tags.of(work.settings.environment, volume)
    await work.ports.cloud.tag_volume(work.server.zone, str(volume.external_id), wanted)
    crashpoint("bind.after_tag")
    async with work.write() as write:
        stored = await write.session.get_one(CloudResource, volume.id)
        stored.details = {**stored.details, "tagged": True}
    return Wait(0, "VolumeTagged")


async def book_volumes(write: Write, row: CloudResource, instance: CloudInstance) -> None:
    """A disk outlives its instance, and carries none of its tags: it gets a row of its own as soon as it is seen."""
    known = {one.external_id for one in (await write.held.load()).resources if one.kind == "volume"}
    for volume_id in sorted(set(instance.volume_ids) - known):
        write.session.add(
            CloudResource(
                id=new_id("res"),
                workspace_id=row.workspace_id,
                server_id=row.server_id,
                kind="volume",
                slot=f"disk-{volume_id}",
                zone=row.zone,
                attempt=1,
                request={},
                state="bound",
                external_id=volume_id,
                details={},
                intent_at=row.intent_at,
                bound_at=write.now,
            )
        )
