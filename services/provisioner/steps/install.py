"""From a bare Debian to the mail host, in one run that neither a broken connection nor a dead worker interrupts."""

from __future__ import annotations

from services.provisioner.hosts.port import HostUnreachable, InstallStatus
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.desired import host_desired
from services.provisioner.steps.host_facts import keep_facts
from shared.crashpoint import crashpoint
from shared.ids import new_id

LOOK_SECONDS = 0.7


class Install(Step):
    name = "install"
    title = "Install and harden the mail server"
    condition = "StackInstalled"
    needs = ("ssh_trust", "own_system")
    deadline = 900.0

    async def run(self, work: Work) -> Outcome:
        if work.server.install_run_id is None:
            async with work.write() as write:
                write.server.install_run_id = new_id("run")
        run_id = str(work.server.install_run_id)
        host, address = work.ports.host, work.host_address()
        try:
            status = await host.install_status(address, run_id)
            if status.state == "unknown":
                crashpoint("install.before_start")
                status = await host.upload_and_start_install(address, run_id, host_desired(work))
                crashpoint("install.after_start")
        except HostUnreachable:
            return Wait(LOOK_SECONDS, "Reconnecting")
        return await self._judge(work, status)

    async def _judge(self, work: Work, status: InstallStatus) -> Outcome:
        done = [step.name for step in status.steps if step.ok]
        if status.state == "ok":
            facts = await work.ports.host.facts(work.host_address())
            async with work.write() as write:
                await keep_facts(write, facts)
                write.server.bundle_version = facts.bundle_version
            return Done(
                f"Debian {facts.debian_version}, bundle {facts.bundle_version}",
                {
                    "bundle_version": facts.bundle_version,
                    "debian_version": facts.debian_version,
                    "kernel": facts.kernel,
                    "steps": [step.model_dump(mode="json") for step in status.steps],
                },
            )
        if status.state in ("failed", "lost"):
            async with work.write() as write:
                write.server.install_run_id = None
            return Retry(
                "install",
                status.error or status.state,
                "The installation did not finish; it is begun again.",
                evidence={"log_tail": status.log_tail[-2000:], "done": done},
            )
        return Wait(
            LOOK_SECONDS,
            f"Installing{len(done)}",
            f"{len(done)} parts of the installation are done." if done else "The installation is running.",
        )
