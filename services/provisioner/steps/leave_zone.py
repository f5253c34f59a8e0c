"""A zone that has run out is left before the server exists: addresses and packet filter belong to a zone, so they are
given back, in the order in which everything ends, and reserved anew in the next."""

from __future__ import annotations

from services.provisioner.models import CloudResource
from services.provisioner.reconciler.creation import window_left
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps.base import Step
from services.provisioner.steps.delete_instance import DeleteInstance
from services.provisioner.steps.delete_rest import DeleteSecurityGroup, DeleteVolumes, ReleaseAddresses
from services.provisioner.steps.reopening import reopen
from services.provisioner.steps.withdraw_names import ResetReverse, WithdrawNames
from shared.crashpoint import crashpoint

ANEW = (
    "AddressesReserved", "ReputationClean", "SecurityGroupReady", "InstanceCreated", "NamesAnnounced", "RdnsSet",
)  # fmt: skip


class LeaveZone(Step):
    name = "leave_zone"
    title = "Give back what was reserved in a zone that has run out"
    condition = "ZoneLeft"
    needs = ("choose_place",)
    deadline = 900.0
    aside = True

    def satisfied(self, work: Work) -> bool:
        return work.server.moving_to is None

    async def run(self, work: Work) -> Outcome:
        ending = (
            WithdrawNames(), ResetReverse(), DeleteInstance(), DeleteVolumes(), ReleaseAddresses(),
            DeleteSecurityGroup(),
        )  # fmt: skip
        for step in ending:
            outcome = await step.run(work)
            if not isinstance(outcome, Done):
                return outcome
        if (left := window_left(work)) > 0:
            return Wait(min(left, 1.0), "QuietWindow", "Waiting until no late answer can make anything here.")
        old, new = work.server.zone, str(work.server.moving_to)
        crashpoint("zone.before_reset")
        async with work.write() as write:
            await self._reset(write, work, new)
        crashpoint("zone.after_reset")
        return Done(f"Nothing of the server is left in {old}; it goes on in {new}", {"from": old, "to": new})

    async def _reset(self, write: Write, work: Work, zone: str) -> None:
        server = write.server
        server.zone, server.moving_to, server.commercial_type = zone, None, None
        server.names_forward = server.names_reverse = server.names_withdrawn = False
        for row in work.known.resources:
            if (
                row.kind == "instance" and row.state == "planned"
            ):  # definitely refused: there is no such thing
                stored = await write.session.get_one(CloudResource, row.id)
                stored.state, stored.gone_at = "gone", write.now
        await reopen(write, ANEW)
