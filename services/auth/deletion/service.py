"""The end of a workspace: asked for once, carried out by every service, receipted by each.

asked for → people and keys lose their rights at once; the asker stays until the end
provisioner and dns say that nothing is left outside → the workspace is deleted
the vault says that the data keys are destroyed → the last receipt
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.api_keys import repository as api_keys
from services.auth.deletion import repository
from services.auth.deletion.schemas import DeleteWorkspace, DeletionView, Receipt
from services.auth.errors import NameMismatch
from services.auth.invitations import repository as invitations
from services.auth.models import Deletion, Workspace
from services.auth.notifications import repository as mail
from services.auth.webhooks import repository as webhooks
from services.auth.workspaces import repository as workspaces
from services.auth.workspaces.roles import require_owner
from services.auth.workspaces.service import acting_role, require_user
from shared import audit
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.auth_events import WorkspaceDeleted, WorkspaceDeletionRequested
from shared.errors import NotFound
from shared.identity import Identity

_PROMISES: Final[dict[Literal["provisioner", "dns", "vault"], str]] = {
    "provisioner": "No server, address or volume is left at the cloud.",
    "dns": "No record of ours is left in any zone.",
    "vault": "The data keys are destroyed; what they wrapped opens no more.",
}


async def request(
    session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str, wish: DeleteWorkspace
) -> DeletionView:
    """Begins the end. Asking again while it goes on answers with how far it is. Raises NameMismatch."""
    asker = require_user(identity)
    workspace = await workspaces.lock_workspace(session, workspace_id)
    if workspace is None or workspace.state == "deleted":
        raise NotFound
    require_owner(await acting_role(session, workspace.id, identity))
    if wish.confirm_name != workspace.name:
        raise NameMismatch(field="confirm_name", next_action="Type the name exactly as it is shown.")
    known = await repository.get(session, workspace.id)
    if known is not None:
        return view(known)
    now = clock.now()
    workspace.state = "deleting"
    workspace.version += 1
    deletion = Deletion(
        workspace_id=workspace.id, workspace_name=workspace.name, requested_by=asker, requested_at=now
    )
    session.add(deletion)
    for member in await workspaces.all_members(session, workspace.id):
        if member.account_id != asker:
            _tell(session, "workspace_ending", workspace, member.account_id, now)
    await _take_rights(session, workspace, now, keep=asker)
    await outbox.emit(
        session,
        WorkspaceDeletionRequested(workspace_id=workspace.id),
        subject=workspace.id,
        workspace_id=workspace.id,
        aggregate_version=workspace.version,
    )
    await audit.record(
        session,
        workspace_id=workspace.id,
        actor=identity,
        action="auth.workspace.deletion_requested",
        target=workspace.id,
    )
    return view(deletion)


async def of_asker(session: AsyncSession, account_id: str, workspace_id: str) -> DeletionView:
    deletion = await repository.requested_by(session, workspace_id, account_id)
    if deletion is None:
        raise NotFound
    return view(deletion)


async def receive_receipt(
    session: AsyncSession,
    now: datetime,
    workspace_id: str,
    service: Literal["provisioner", "dns", "vault"],
    *,
    data_keys: int | None = None,
) -> None:
    """Notes that a service is done. A receipt for a workspace that nobody asked to end is ignored."""
    deletion = await repository.lock(session, workspace_id)
    if deletion is None:
        return
    first = service == "vault" and deletion.vault_at is None
    if service == "provisioner":
        deletion.provisioner_at = deletion.provisioner_at or now
    elif service == "dns":
        deletion.dns_at = deletion.dns_at or now
    else:
        deletion.vault_at = deletion.vault_at or now
        deletion.data_keys_shredded = data_keys
    if deletion.provisioner_at and deletion.dns_at and deletion.deleted_at is None:
        await _finish(session, deletion, now)
    if first and deletion.vault_at is not None:
        workspace = await workspaces.lock_workspace(session, workspace_id)
        if workspace is not None:
            _tell(session, "workspace_deleted", workspace, deletion.requested_by, now)


async def _finish(session: AsyncSession, deletion: Deletion, now: datetime) -> None:
    workspace = await workspaces.lock_workspace(session, deletion.workspace_id)
    if workspace is None:
        return
    deletion.deleted_at = now
    workspace.state = "deleted"
    workspace.version += 1
    await _take_rights(session, workspace, now, keep=None)
    await outbox.emit(
        session,
        WorkspaceDeleted(workspace_id=workspace.id),
        subject=workspace.id,
        workspace_id=workspace.id,
        aggregate_version=workspace.version,
    )
    await audit.record(
        session, workspace_id=workspace.id, actor="auth", action="auth.workspace.deleted", target=workspace.id
    )


def _tell(session: AsyncSession, kind: str, workspace: Workspace, account_id: str, now: datetime) -> None:
    mail.enqueue(
        session, kind, workspace.id, now=now, account_id=account_id, data={"workspace_id": workspace.id}
    )


async def _take_rights(
    session: AsyncSession, workspace: Workspace, now: datetime, *, keep: str | None
) -> None:
    """Ends memberships, invitations, keys and webhooks; the gateways hear of each membership and key."""
    await invitations.revoke_all(session, workspace.id, now)
    await webhooks.remove_all(session, workspace.id)
    for key_id in await api_keys.revoke_all(session, workspace.id, now):
        await stream.api_key_revoked(session, workspace.id, key_id)
    for member in await workspaces.all_members(session, workspace.id):
        if member.account_id != keep:
            await session.delete(member)
            await stream.membership_changed(session, workspace.id, member.account_id, None)


def view(deletion: Deletion) -> DeletionView:
    moments = {
        "provisioner": deletion.provisioner_at,
        "dns": deletion.dns_at,
        "vault": deletion.vault_at,
    }
    return DeletionView(
        workspace_id=deletion.workspace_id,
        workspace_name=deletion.workspace_name,
        state="deleted" if deletion.deleted_at else "deleting",
        requested_at=deletion.requested_at,
        deleted_at=deletion.deleted_at,
        receipts=[
            Receipt(service=service, promise=promise, at=moments[service])
            for service, promise in _PROMISES.items()
        ],
        data_keys_shredded=deletion.data_keys_shredded,
    )
