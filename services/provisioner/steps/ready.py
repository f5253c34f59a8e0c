"""Ready: everything that is promised has been proven. After that the refused addresses can go back."""

from __future__ import annotations

from services.provisioner.models import Address
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps.base import Step
from services.provisioner.steps.giving_back import release_refused
from shared.contracts.provisioner_events import ServerReady
from shared.crashpoint import crashpoint


class Ready(Step):
    """`ever_ready` is never taken back: mail lives there now, and nothing makes the server anew by itself."""

    name = "ready"
    title = "Ready"
    condition = "Ready"
    needs = ("self_test", "observe", "own_system")

    async def run(self, work: Work) -> Outcome:
        first = work.server.ready_at is None
        crashpoint("ready.before")
        async with work.write() as write:
            write.server.ever_ready = True
            if first:
                write.server.ready_at = write.now
                await self._announce(work, write)
                await write.emit(
                    ServerReady(
                        workspace_id=work.server.workspace_id,
                        server_id=work.server.id,
                        hostname=work.server.hostname,
                        ipv4=work.address(4),
                        ipv6=work.address(6),
                        zone=work.server.zone,
                    )
                )
        crashpoint("ready.after")
        return Done(f"{work.server.hostname} is ready")

    async def _announce(self, work: Work, write: Write) -> None:
        for row in map(work.candidate, (4, 6)):
            assert row is not None
            (await write.session.get_one(Address, row.id)).state = "live"
        await write.held.audit("provisioner.server.ready")


class ReleaseHeld(Step):
    """Refused addresses, held until now so that the cloud could not offer them again."""

    name = "release_held"
    title = "Give back the refused addresses"
    condition = "HeldReleased"
    needs = ("ready",)

    async def run(self, work: Work) -> Outcome:
        held = [row for row in work.known.addresses if row.state == "burned" and row.released_at is None]
        if not held:
            return Done("No address is held")
        await release_refused(work, held[0])
        return Wait(0, "Released")
