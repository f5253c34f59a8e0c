"""Members: their roles, how they leave, and how a workspace changes hands.

Each use case locks the workspace first and looks at the caller's role under that lock. So changes that cross each
other happen one after the other, and the second sees what the first has left of its rights.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.api_keys import repository as api_keys
from services.auth.errors import AlreadyOwner, LastOwner
from services.auth.invitations import repository as invitations
from services.auth.models import Account, Member
from services.auth.notifications import repository as mail
from services.auth.workspaces import repository
from services.auth.workspaces.roles import check_reach, require_owner
from services.auth.workspaces.schemas import MemberView, Role, TransferOwnership
from services.auth.workspaces.service import acting_role, active, require_user
from shared import audit
from shared.clock import Clock
from shared.errors import Conflict, NotFound
from shared.identity import Identity
from shared.web.access import check_age
from shared.web.conditional import IfMatch
from shared.web.pagination import Page, PageRequest

OWNER_STEP_UP: Final = 300
"""Seconds since the sign-in, as the routes that make and end owners ask for it."""


async def page(session: AsyncSession, workspace_id: str, page: PageRequest) -> Page[MemberView]:
    rows = await repository.members(session, workspace_id, after=page.after_id, limit=page.limit + 1)
    return page.page(rows, lambda row: view(*row), lambda row: row[0].id)


async def change_role(
    session: AsyncSession,
    clock: Clock,
    identity: Identity,
    workspace_id: str,
    member_id: str,
    role: Role,
    if_match: IfMatch,
) -> MemberView:
    """Raises NotFound, AboveOwnRole, PreconditionFailed, LastOwner."""
    require_user(identity)
    workspace = await active(session, workspace_id)
    acting = await acting_role(session, workspace.id, identity)
    member, account = await _find(session, workspace.id, member_id)
    check_reach(acting, member.role, role)  # type: ignore[arg-type]
    if_match.check(member.version)
    _guard_owner(identity, member)
    await _keep_an_owner(session, member, role)
    await _set_role(session, clock, identity, member, role)
    return view(member, account)


async def remove(
    session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str, member_id: str
) -> None:
    """Raises NotFound, AboveOwnRole, LastOwner."""
    workspace = await active(session, workspace_id)
    acting = await acting_role(session, workspace.id, identity)
    member, _ = await _find(session, workspace.id, member_id)
    check_reach(acting, member.role)  # type: ignore[arg-type]
    _guard_owner(identity, member)
    await _take_out(session, clock, identity, member, "auth.member.removed")


async def leave(session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str) -> None:
    """Raises LastOwner: who owns a workspace alone hands it over or deletes it."""
    account_id = require_user(identity)
    workspace = await active(session, workspace_id)
    member = await repository.member_of_account(session, workspace.id, account_id)
    if member is None:
        raise NotFound
    await _take_out(session, clock, identity, member, "auth.member.left")


async def transfer(
    session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str, wish: TransferOwnership
) -> MemberView:
    """Makes a member owner, and the caller what he wishes to be then. Raises NotFound, AlreadyOwner, Forbidden."""
    giver_id = require_user(identity)
    workspace = await active(session, workspace_id)
    require_owner(await acting_role(session, workspace.id, identity))
    taker, account = await _find(session, workspace.id, wish.member_id)
    if taker.role == "owner":
        raise AlreadyOwner(field="member_id")
    await _set_role(session, clock, identity, taker, "owner")
    giver = await repository.member_of_account(session, workspace.id, giver_id)
    if giver is not None and giver.role != wish.your_role:
        await _set_role(session, clock, identity, giver, wish.your_role)
    return view(taker, account)


# -- parts of the above, all under the workspace's lock ------------------------------------------------------------


async def _find(session: AsyncSession, workspace_id: str, member_id: str) -> tuple[Member, Account]:
    found = await repository.member_and_account(session, workspace_id, member_id)
    if found is None:
        raise NotFound
    return found


def _guard_owner(identity: Identity, member: Member) -> None:
    """What takes an owner his role needs as fresh a sign-in as what makes one: a browser left open is not enough to
    take a workspace from its other owners, and neither is a key. Raises StepUpRequired, Forbidden."""
    if member.role == "owner":
        check_age(identity, OWNER_STEP_UP)


async def _keep_an_owner(session: AsyncSession, member: Member, role: Role | None) -> None:
    if member.role != "owner" or role == "owner":
        return
    if await repository.count_owners(session, member.workspace_id) < 2:
        raise LastOwner(
            "This is the only owner.", next_action="Make somebody else owner, or delete the workspace."
        )


async def _set_role(
    session: AsyncSession, clock: Clock, identity: Identity, member: Member, role: Role
) -> None:
    """Of the rights that hang on the old role, keys shrink by themselves; invitations have to be taken back."""
    before = member.role
    if before == role:
        raise Conflict(f"The role is {role} already.", field="role")
    member.role = role
    member.version += 1
    if role == "member":
        await invitations.revoke_made_by(session, member.workspace_id, member.account_id, clock.now())
    await session.flush()
    await stream.membership_changed(session, member.workspace_id, member.account_id, role)
    _tell(session, clock, "role_changed", member, before=before, after=role)
    await audit.record(
        session,
        workspace_id=member.workspace_id,
        actor=identity,
        action="auth.member.role_changed",
        target=member.id,
        data={"account_id": member.account_id, "before": before, "after": role},
    )


async def _take_out(
    session: AsyncSession, clock: Clock, identity: Identity, member: Member, action: str
) -> None:
    """Ends the membership and all that was given in its name, so that nothing comes back with a later invitation."""
    await _keep_an_owner(session, member, None)
    workspace_id, account_id, now = member.workspace_id, member.account_id, clock.now()
    await invitations.revoke_made_by(session, workspace_id, account_id, now)
    for key_id in await api_keys.revoke_made_by(session, workspace_id, account_id, now):
        await stream.api_key_revoked(session, workspace_id, key_id)
    await session.delete(member)
    await session.flush()
    await stream.membership_changed(session, workspace_id, account_id, None)
    _tell(session, clock, "membership_ended", member)
    await audit.record(
        session,
        workspace_id=workspace_id,
        actor=identity,
        action=action,
        target=member.id,
        data={"account_id": account_id, "role": member.role},
    )


def _tell(session: AsyncSession, clock: Clock, kind: str, member: Member, **data: str) -> None:
    """The person himself; the owners hear of it by its audit row."""
    mail.enqueue(
        session,
        kind,
        member.id,
        now=clock.now(),
        account_id=member.account_id,
        data={"workspace_id": member.workspace_id, **data},
    )


def view(member: Member, account: Account) -> MemberView:
    return MemberView.model_validate(
        {
            "id": member.id,
            "account_id": account.id,
            "email": account.email,
            "name": account.name,
            "role": member.role,
            "version": member.version,
            "joined_at": member.joined_at,
        }
    )
