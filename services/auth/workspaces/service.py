"""Workspaces and their members."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.errors import AboveOwnRole, LastOwner, WorkspaceLimit
from services.auth.models import Account, Member, Workspace
from services.auth.workspaces import repository
from services.auth.workspaces.schemas import CreateWorkspace, MemberView, WorkspaceView
from shared import audit
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.auth_events import WorkspaceCreated
from shared.db.database import set_context
from shared.errors import Conflict, Forbidden, NotFound
from shared.identity import Identity
from shared.ids import new_id
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


async def list_members(session: AsyncSession, workspace_id: str, page: PageRequest) -> Page[MemberView]:
    rows = await repository.members(session, workspace_id, after=page.after_id, limit=page.limit + 1)
    return page.page(rows, lambda row: _member_view(*row), lambda row: row[0].id)


async def remove_member(session: AsyncSession, identity: Identity, workspace_id: str, member_id: str) -> None:
    """Raises NotFound, AboveOwnRole, LastOwner."""
    workspace = await active(session, workspace_id)
    member = await repository.member(session, workspace.id, member_id)
    if member is None:
        raise NotFound
    if member.role == "owner":
        if identity.role != "owner":
            raise AboveOwnRole("Only an owner removes an owner.")
        if await repository.count_owners(session, workspace.id) < 2:
            raise LastOwner(
                "This is the only owner.", next_action="Make somebody else owner, or delete the workspace."
            )
    await session.delete(member)
    await stream.membership_changed(session, workspace.id, member.account_id, None)
    await audit.record(
        session,
        workspace_id=workspace.id,
        actor=identity,
        action="auth.member.removed",
        target=member.id,
        data={"account_id": member.account_id, "role": member.role},
    )


async def active(session: AsyncSession, workspace_id: str) -> Workspace:
    """The workspace, locked. Raises NotFound, or Conflict while it is being deleted."""
    workspace = await repository.lock_workspace(session, workspace_id)
    if workspace is None or workspace.state == "deleted":
        raise NotFound
    if workspace.state != "active":
        raise Conflict("The workspace is being deleted.")
    return workspace


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
            "created_at": workspace.created_at,
        }
    )


def _member_view(member: Member, account: Account) -> MemberView:
    return MemberView.model_validate(
        {
            "id": member.id,
            "account_id": account.id,
            "email": account.email,
            "name": account.name,
            "role": member.role,
            "joined_at": member.joined_at,
        }
    )
