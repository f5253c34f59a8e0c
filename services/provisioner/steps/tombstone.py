"""The last look. A create whose answer was lost may still come to pass, so a server is deleted only when the quiet
window is over and nothing of it was found, twice."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import CloudResource, Condition, Domain, Server, WorkspaceDeletion
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.creation import window_left
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.apply_host import remove_mailbox
from services.provisioner.steps.base import Step
from shared import audit
from shared.bus import outbox
from shared.contracts.provisioner_events import ServerDeleted, WorkspaceEmptied

LOOK_SECONDS = 0.5
NEEDED = 2
REOPEN = {
    "instance": ("Stopped", "InstanceDeleted"),
    "ip": ("AddressesReleased",),
    "volume": ("VolumesDeleted",),
    "security_group": ("SecurityGroupDeleted",),
}


class Tombstone(Step):
    name = "tombstone"
    title = "Make sure that nothing is left"
    condition = "Deleted"
    needs = ("delete_volumes", "release_addresses", "delete_security_group", "end_subscription")
    deadline = 900.0

    async def run(self, work: Work) -> Outcome:
        left = await self._left(work)
        if left:
            await self._reopen(work, left)
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

    async def _reopen(self, work: Work, kinds: set[str]) -> None:
        async with work.write() as write:
            for kind in kinds:
                for name in REOPEN[kind]:
                    condition = await write.session.get(Condition, (write.server.id, name))
                    if condition is not None:
                        condition.status, condition.reason, condition.due_at = "unknown", "Reopened", None

    async def _bury(self, work: Work) -> None:
        async with work.write() as write:
            session, server = write.session, write.server
            for mailbox in work.known.mailboxes:
                await remove_mailbox(write, mailbox)
            await session.execute(delete(Domain).where(Domain.server_id == server.id))
            for row in await session.scalars(
                select(CloudResource).where(
                    CloudResource.server_id == server.id, CloudResource.state.not_in(("gone", "leaked"))
                )
            ):
                row.state, row.gone_at = "gone", write.now
            server.deleted_at = write.now
            await write.emit(
                ServerDeleted(
                    workspace_id=server.workspace_id,
                    server_id=server.id,
                    hostname=server.hostname,
                    ordered_at=server.cancelled_at,
                )
            )
            await audit.record(
                session,
                workspace_id=server.workspace_id,
                actor="provisioner",
                action="provisioner.server.deleted",
                target=server.id,
            )
            await session.flush()
            await announce_if_empty(write.session, server.workspace_id)


async def announce_if_empty(session: AsyncSession, workspace_id: str) -> bool:
    """Answers a workspace's deletion request once its last server is gone. True when it was announced now."""
    request = await session.scalar(
        select(WorkspaceDeletion).where(WorkspaceDeletion.workspace_id == workspace_id).with_for_update()
    )
    if request is None or request.emptied_at is not None:
        return False
    left = await session.scalar(
        select(func.count()).where(Server.workspace_id == workspace_id, Server.deleted_at.is_(None))
    )
    if left:
        return False
    request.emptied_at = await session.scalar(select(func.now()))
    await outbox.emit(
        session,
        WorkspaceEmptied(workspace_id=workspace_id),
        subject=workspace_id,
        workspace_id=workspace_id,
        aggregate_version=1,
    )
    return True
