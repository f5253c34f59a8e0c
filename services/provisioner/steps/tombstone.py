"""The last look. A create whose answer was lost may still come to pass, so a server is deleted only when the quiet
window is over and nothing of it was found, twice."""

from __future__ import annotations

from services.provisioner.models import CloudResource, Domain
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.creation import window_left
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.apply_host import remove_mailbox
from services.provisioner.steps.base import Step
from services.provisioner.steps.delete_rest import reopen
from shared.contracts.provisioner_events import ServerDeleted

LOOK_SECONDS = 0.5
NEEDED = 2


class Tombstone(Step):
    name = "tombstone"
    title = "Make sure that nothing is left"
    condition = "Deleted"
    needs = ("delete_volumes", "release_addresses", "delete_security_group", "end_subscription")
    deadline = 900.0

    async def run(self, work: Work) -> Outcome:
        left = await self._left(work)
        if left:
            await reopen(work, left)
            return Wait(LOOK_SECONDS, "Found", "Something of the server turned up late; it is deleted too.")
        quiet = window_left(work)
        if quiet > 0:
            return Wait(
                min(quiet, 10.0), "QuietWindow", "Waiting until no late answer can make anything new."
            )
        condition = work.condition(self.condition)
        looked = int(condition.evidence.get("empty", 0)) + 1 if condition is not None else 1
        if looked < NEEDED:
            return Wait(LOOK_SECONDS, "LookingAgain", evidence={"empty": looked})
        await self._bury(work)
        return Done("Nothing of the server is left at the data centre")

    async def _left(self, work: Work) -> set[str]:
        """Kinds of which the cloud still shows something with our tag."""
        zone, cloud, tag = work.server.zone, work.ports.cloud, tags.server(work.server.id)
        shown = {
            "instance": await cloud.list_instances(zone, tag),
            "ip": await cloud.list_ips(zone, tag),
            "volume": await cloud.list_volumes(zone, tag),
            "security_group": await cloud.list_security_groups(zone, tag),
        }
        return {kind for kind, items in shown.items() if items}

    async def _bury(self, work: Work) -> None:
        async with work.write() as write:
            server, session = write.server, write.session
            for mailbox in work.known.mailboxes:
                await remove_mailbox(write, mailbox)
            await session.flush()  # mailboxes before the domains that they refer to
            known = await write.held.load()
            for domain in known.domains:
                await session.delete(await session.get_one(Domain, domain.id))
            for row in known.resources:
                if row.state not in ("gone", "leaked"):
                    stored = await session.get_one(CloudResource, row.id)
                    stored.state, stored.gone_at = "gone", write.now
            server.deleted_at = write.now
            await write.emit(
                ServerDeleted(
                    workspace_id=server.workspace_id,
                    server_id=server.id,
                    hostname=server.hostname,
                    ordered_at=server.cancelled_at,
                )
            )
            await write.held.audit("provisioner.server.deleted")
            await write.held.announce_if_empty()
