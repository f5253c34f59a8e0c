"""A start that somebody ordered: of the server's own system, or of the cloud's rescue system.

The cloud's `reboot` cannot be told from one that did not take place: its task leads nowhere, and the machine runs
before and after. So it is stopped in place and started, and each is seen before the next is asked for (ADR 11).
"""

from __future__ import annotations

from services.provisioner.ports import BootType, CloudInstance
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.reopening import pause_ready, reopen
from shared.crashpoint import crashpoint

LOOK_SECONDS = 0.5
DOUBTFUL = ("SmtpVerified", "InstanceHealthy")
WORDS = {
    "local": ("Restarting", "The server is being restarted."),
    "rescue": ("Rescue", "The server runs the rescue system. It takes no mail until it is rebooted."),
}


class Boot(Step):
    name = "boot"
    title = "Restart the server"
    condition = "Booted"
    needs = ("power_on", "retire_instance")
    deadline = 300.0
    aside = True

    def satisfied(self, work: Work) -> bool:
        return work.server.boots_done >= work.server.boots

    async def run(self, work: Work) -> Outcome:
        if work.is_true("Ready"):
            async with work.write() as write:
                await pause_ready(write, *WORDS[write.server.boot_type], {"boots": write.server.boots})
            return Wait(0, "Announced")
        instance_id = str(work.bound("instance").external_id)
        instance = await work.ports.cloud.get_instance(work.server.zone, instance_id)
        if instance.state not in ("running", "stopped", "starting", "stopping"):
            return Retry("busy", f"state {instance.state}", f"The server is {instance.state}.")
        if work.server.boots_stopped < work.server.boots:
            return await self._stop(work, instance)
        return await self._start(work, instance)

    async def _stop(self, work: Work, instance: CloudInstance) -> Outcome:
        if instance.state == "running":
            await work.need_lease(work.settings.scaleway_timeout)
            crashpoint("boot.before_stop")
            await work.ports.cloud.stop_in_place(work.server.zone, instance.id)
            crashpoint("boot.after_stop")
        if instance.state != "stopped":
            return Wait(LOOK_SECONDS, "Stopping", "The server is shutting down.")
        async with work.write() as write:
            write.server.boots_stopped = work.server.boots
        crashpoint("boot.after_stopped")
        return Wait(0, "Stopped")

    async def _start(self, work: Work, instance: CloudInstance) -> Outcome:
        server, cloud = work.server, work.ports.cloud
        wanted: BootType = "rescue" if server.boot_type == "rescue" else "local"
        if instance.state == "running":
            return await self._running(work, instance)
        if instance.state == "stopped" and instance.boot_type != wanted:
            await cloud.set_boot_type(server.zone, instance.id, wanted)
            crashpoint("boot.after_boot_type")
            return Wait(0, "BootTypeSet")
        if instance.state == "stopped":
            await work.need_lease(work.settings.scaleway_timeout)
            crashpoint("boot.before_start")
            await cloud.power_on(server.zone, instance.id)
            crashpoint("boot.after_start")
        return Wait(LOOK_SECONDS, "Starting", "The data centre is starting the server.")

    async def _running(self, work: Work, instance: CloudInstance) -> Outcome:
        async with work.write() as write:
            write.server.boots_done = work.server.boots_stopped
            await reopen(write, (*DOUBTFUL, OwnSystem.condition))
        system = "the rescue system" if instance.boot_type == "rescue" else "its own system"
        return Done(f"The server runs {system}", {"instance": instance.id, "boot_type": instance.boot_type})


class OwnSystem(Step):
    """Holds back everything that talks to the host, while another system runs there, or none."""

    name = "own_system"
    title = "Run the server's own system"
    condition = "OwnSystem"
    needs = ("boot", "retire_instance")
    deadline = float("inf")
    aside = True

    def satisfied(self, work: Work) -> bool:
        server = work.server
        obeyed = server.boots_done >= server.boots and server.incarnation_cleared >= server.incarnation
        return obeyed and server.boot_type == "local" and self.at_rest(work)

    async def run(self, work: Work) -> Outcome:
        if work.server.boot_type == "local":
            return Done("The server runs its own system")
        return Wait(60.0, *WORDS["rescue"])
