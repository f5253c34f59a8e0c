"""Switching on: only the bound instance, so that two running servers cannot happen."""

from __future__ import annotations

from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint

LOOK_SECONDS = 0.4
STARTING = Wait(LOOK_SECONDS, "Starting", "The data centre is starting the server.")


class PowerOn(Step):
    name = "power_on"
    title = "Switch the server on"
    condition = "Running"
    needs = ("user_data", "bind")
    deadline = 180.0

    async def run(self, work: Work) -> Outcome:
        instance_id = str(work.bound("instance").external_id)
        if self._seen_stopped(work):
            return await self._start(work, instance_id)
        instance = await work.ports.cloud.get_instance(work.server.zone, instance_id)
        if instance.state == "running":
            return Done("The server is running", {"instance": instance_id})
        if instance.state == "stopped":
            return await self._start(work, instance_id)
        if instance.state == "starting":
            return STARTING
        return Retry("busy", f"state {instance.state}", f"The server is {instance.state}.")

    def _seen_stopped(self, work: Work) -> bool:
        """At the first try: the step before has just seen it stopped, and need not be asked again."""
        bound = work.condition("InstanceBound")
        return work.untried(self.condition) and bound is not None and bound.evidence.get("state") == "stopped"

    async def _start(self, work: Work, instance_id: str) -> Outcome:
        await work.need_lease(work.settings.scaleway_timeout)
        crashpoint("power_on.before_action")
        await work.ports.cloud.power_on(work.server.zone, instance_id)
        crashpoint("power_on.after_action")
        return STARTING
