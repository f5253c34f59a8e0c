"""Drift: what somebody changed at the cloud behind our back. A server that was ever Ready is never made anew."""

from __future__ import annotations

from services.provisioner.ports import CloudNotFound
from services.provisioner.reconciler.outcomes import Done, Fatal, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step

LOOK_SECONDS = 1.0


class Observe(Step):
    name = "observe"
    title = "Look at the server from the data centre's side"
    condition = "InstanceHealthy"
    needs = ("power_on", "own_system")
    recheck = True
    guards_ready = True

    async def run(self, work: Work) -> Outcome:
        row, zone, cloud = work.bound("instance"), work.server.zone, work.ports.cloud
        instance_id = str(row.external_id)
        try:
            instance = await cloud.get_instance(zone, instance_id)
        except CloudNotFound as error:
            return self._missing(work, error)
        lost = sorted(set(row.request["ip_ids"]) - set(instance.ip_ids))
        if lost:
            return Fatal(
                "AddressLost",
                "An address is no longer attached to the server. Our operators have to look.",
                evidence={"lost": lost},
            )
        if instance.state == "running":
            return Done("Running, with both addresses", {"instance": instance.id})
        if instance.state == "stopped":
            await cloud.power_on(zone, instance_id)
            return Wait(LOOK_SECONDS, "Restarting", "The server was switched off; it is switched on again.")
        return Wait(LOOK_SECONDS, instance.state.capitalize(), f"The server is {instance.state}.")

    def _missing(self, work: Work, error: CloudNotFound) -> Outcome:
        """A cloud may say 404 of a living server: only after the quiet window is it believed."""
        condition = work.condition(self.condition)
        failing = condition is not None and condition.failures > 0
        since = condition.last_transition_at if condition is not None and failing else work.now()
        if (work.now() - since).total_seconds() < work.settings.quiet_window_seconds:
            return Retry(
                "unavailable", error.detail, "The data centre does not show the server; looking again."
            )
        return Fatal(
            "InstanceMissing",
            "The data centre says that the server is gone. Nothing is rebuilt without an order.",
            "Our operators have to look.",
        )
