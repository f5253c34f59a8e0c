"""Switching on: only the bound instance, so that two running servers cannot happen."""

from __future__ import annotations

from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint

LOOK_SECONDS = 0.4


class PowerOn(Step):
    name = "power_on"
    title = "Switch the server on"
    condition = "Running"
    needs = ("user_data", "bind")
    deadline = 180.0

    async def run(self, work: Work) -> Outcome:
        zone, cloud = work.server.zone, work.ports.cloud
        instance_id = str(work.bound("instance").external_id)
        instance = await cloud.get_instance(zone, instance_id)
        if instance.state == "running":
            return Done("The server is running", {"instance": instance_id})
        if instance.state == "stopped":
            await work.need_lease(work.settings.scaleway_timeout)
            crashpoint("power_on.before_action")
            await cloud.power_on(zone, instance_id)
            crashpoint("power_on.after_action")
            return Wait(LOOK_SECONDS, "Starting", "The data centre is starting the server.")
        if instance.state == "starting":
            return Wait(LOOK_SECONDS, "Starting", "The data centre is starting the server.")
        return Retry("busy", f"state {instance.state}", f"The server is {instance.state}.")
