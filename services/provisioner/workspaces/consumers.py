"""A workspace that leaves: every server is cancelled, and when nothing is left at the cloud we say so."""

from __future__ import annotations

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from services.provisioner.models import (
    Address,
    CloudResource,
    Condition,
    Domain,
    Invoice,
    Job,
    Mailbox,
    MailboxVerifier,
    ProvenZone,
    Refund,
    Server,
    StepLog,
    Subscription,
    WorkspaceDeletion,
    kit,
)
from services.provisioner.servers.service import end
from services.provisioner.workspaces.emptied import announce_if_empty
from shared import audit
from shared.bus.binding import HandlerContext
from shared.contracts.auth_events import WorkspaceDeleted, WorkspaceDeletionRequested

# Children before what they refer to.
ROWS = (
    MailboxVerifier, Mailbox, Domain, Job, StepLog, Condition, Address, CloudResource, Server, Invoice, Refund,
    Subscription, ProvenZone,
)  # fmt: skip


async def on_deletion_requested(context: HandlerContext, event: WorkspaceDeletionRequested) -> None:
    """Idempotent: a second request changes nothing."""
    session = context.session
    added = await session.execute(
        insert(WorkspaceDeletion)
        .values(workspace_id=event.workspace_id)
        .on_conflict_do_nothing()
        .returning(WorkspaceDeletion.workspace_id)
    )
    if added.first() is None:
        return
    await session.execute(
        update(Subscription)
        .where(
            Subscription.workspace_id == event.workspace_id, Subscription.status.in_(("pending", "expired"))
        )
        .values(status="refused", version=Subscription.version + 1)
    )
    servers = await session.scalars(
        select(Server)
        .where(Server.workspace_id == event.workspace_id, Server.deleted_at.is_(None))
        .with_for_update()
    )
    for server in servers:
        if server.desired == "present":
            await end(session, server, requested_by="workspace deletion", reason="the workspace is deleted")
    await audit.record(
        session,
        workspace_id=event.workspace_id,
        actor="provisioner",
        action="provisioner.workspace.ending",
        target=event.workspace_id,
    )
    await session.flush()
    await announce_if_empty(session, event.workspace_id)


async def on_workspace_deleted(context: HandlerContext, event: WorkspaceDeleted) -> None:
    """Everything of the workspace goes, except what still exists at a cloud: that would be lost from sight."""
    session, workspace_id = context.session, event.workspace_id
    alive = await session.scalar(
        select(Server.id).where(Server.workspace_id == workspace_id, Server.deleted_at.is_(None)).limit(1)
    )
    if alive is not None:
        raise RuntimeError(f"{workspace_id} is said to be deleted, but {alive} is still there")
    for table in ROWS:
        await session.execute(delete(table).where(table.workspace_id == workspace_id))
    await session.execute(delete(kit.IdempotencyKey).where(kit.IdempotencyKey.workspace_id == workspace_id))
    await session.execute(
        update(WorkspaceDeletion)
        .where(WorkspaceDeletion.workspace_id == workspace_id)
        .values(deleted_at=text("now()"))
    )
