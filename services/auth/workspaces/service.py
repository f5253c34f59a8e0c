"""Workspaces: made, renamed, found; and who somebody is in one. Members are in `members.py`."""

from __future__ import annotations

from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.errors import WorkspaceLimit
from services.auth.models import Member, Workspace
from services.auth.workspaces import repository
from services.auth.workspaces.roles import require_admin
from services.auth.workspaces.schemas import CreateWorkspace, Role, WorkspaceView
from shared import audit
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.auth_events import WorkspaceCreated
from shared.db.database import set_context
from shared.errors import Conflict, Forbidden, NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.web.conditional import IfMatch
from shared.web.pagination import Page, PageRequest

WORKSPACES_PER_ACCOUNT = 20


async def create(
    session: AsyncSession, clock: Clock, identity: Identity, request: CreateWorkspace
) -> WorkspaceView:
    """A workspace whose owner is the caller. The transaction goes on in the context of the new workspace."""
    now = clock.now()
    if await repository.count_created_by(session, identity.subject) >= WORKSPACES_PER_ACCOUNT:
        raise WorkspaceLimit(
            f"You have {WORKSPACES_PER_ACCOUNT} workspaces.", next_action="Delete one first."
        )
    workspace = Workspace(
        id=new_id("ws"),
        name=request.name,
        state="active",
        version=1,
        created_by=identity.subject,
        created_at=now,
    )
    await set_context(session, workspace_id=workspace.id, account_id=identity.subject)
    session.add(workspace)
    await session.flush()
    session.add(
        Member(
            id=new_id("mem"),
            workspace_id=workspace.id,
            account_id=identity.subject,
            role="owner",
            joined_at=now,
        )
    )
    await session.flush()
    await stream.membership_changed(session, workspace.id, identity.subject, "owner")
    await outbox.emit(
        session,
        WorkspaceCreated(workspace_id=workspace.id, name=workspace.name),
        subject=workspace.id,
        workspace_id=workspace.id,
        aggregate_version=1,
    )
    await audit.record(
        session,
        workspace_id=workspace.id,
        actor=identity,
        action="auth.workspace.created",
        target=workspace.id,
    )
    return _view(workspace, "owner")


async def mine(session: AsyncSession, account_id: str, page: PageRequest) -> Page[WorkspaceView]:
    rows = await repository.of_account(session, account_id, after=page.after_id, limit=page.limit + 1)
    return page.page(rows, lambda row: _view(row[0], row[1]), lambda row: row[0].id)


async def get(session: AsyncSession, identity: Identity, workspace_id: str) -> WorkspaceView:
    workspace = await repository.workspace(session, workspace_id)
    if workspace is None or workspace.state == "deleted":
        raise NotFound
    return _view(workspace, identity.role if identity.kind == "user" else None)


async def rename(
    session: AsyncSession, identity: Identity, workspace_id: str, name: str, if_match: IfMatch
) -> WorkspaceView:
    """Raises PreconditionFailed when the caller has not seen the last change."""
    require_user(identity)
    workspace = await active(session, workspace_id)
    role = await acting_role(session, workspace.id, identity)
    require_admin(role)
    if_match.check(workspace.version)
    if workspace.name != name:
        workspace.name = name
        workspace.version += 1
        await audit.record(
            session,
            workspace_id=workspace.id,
            actor=identity,
            action="auth.workspace.renamed",
            target=workspace.id,
        )
    return _view(workspace, role)


async def active(session: AsyncSession, workspace_id: str) -> Workspace:
    """The workspace, locked. Raises NotFound, or Conflict while it is being deleted."""
    workspace = await repository.lock_workspace(session, workspace_id)
    if workspace is None or workspace.state == "deleted":
        raise NotFound
    if workspace.state != "active":
        raise Conflict("The workspace is being deleted.")
    return workspace


async def acting_role(session: AsyncSession, workspace_id: str, identity: Identity) -> Role:
    """What the caller, or a key's maker, is at this moment. Call it under the workspace's lock.

    The gateway's word was true when the request came; two owners who demote each other at once both had it. Raises
    NotFound when he is nothing here any more.
    """
    account_id = identity.subject
    if identity.kind == "api_key":
        account_id = await repository.maker_of_key(session, workspace_id, identity.subject) or ""
    member = await repository.member_of_account(session, workspace_id, account_id)
    if member is None:
        raise NotFound
    return cast(Role, member.role)


def require_user(identity: Identity) -> str:
    """The account that asks; what people do is not for keys. Raises Forbidden."""
    if identity.kind != "user":
        raise Forbidden("Only a signed-in person can do this.")
    return identity.subject


def _view(workspace: Workspace, role: str | None) -> WorkspaceView:
    return WorkspaceView.model_validate(
        {
            "id": workspace.id,
            "name": workspace.name,
            "state": workspace.state,
            "role": role,
            "version": workspace.version,
            "created_at": workspace.created_at,
        }
    )
