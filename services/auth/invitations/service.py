"""Invitations: signed when mailed, bound to one address, good for 72 hours and one use."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.accounts.service import normalise_email
from services.auth.errors import (
    AlreadyMember,
    InvitationClosed,
    InvitationForAnotherAddress,
    InvitationPending,
    LinkRefused,
    TooManyInvitations,
)
from services.auth.invitations import repository
from services.auth.invitations.schemas import AcceptedInvitation, CreateInvitation, InvitationView
from services.auth.mail_links import MailLinkVerifier
from services.auth.models import Invitation
from services.auth.notifications import repository as mail
from services.auth.workspaces.roles import check_reach
from services.auth.workspaces.service import acting_role, active, require_user
from shared import audit
from shared.clock import Clock
from shared.db.database import set_context
from shared.errors import NotFound, TooManyRequests
from shared.identity import Identity
from shared.ids import new_id
from shared.web.pagination import Page, PageRequest

LIFETIME = timedelta(hours=72)
OPEN_PER_WORKSPACE = 100
SENDS = 5
"""Mails of one invitation; whoever has not answered five does not want to."""
SEND_AGAIN_AFTER = timedelta(minutes=1)


async def create(
    session: AsyncSession,
    clock: Clock,
    identity: Identity,
    workspace_id: str,
    request: CreateInvitation,
    *,
    allow_test_domain: bool,
) -> InvitationView:
    """Raises AlreadyMember, InvitationPending, EmailRefused. An expired invitation makes room for a new one."""
    inviter = require_user(identity)
    workspace = await active(session, workspace_id)
    check_reach(await acting_role(session, workspace.id, identity), request.role)
    email = normalise_email(request.email, allow_test_domain=allow_test_domain)
    now = clock.now()
    if await repository.is_member(session, workspace.id, email):
        raise AlreadyMember(field="email")
    pending = await repository.open_for(session, workspace.id, email)
    if pending is not None:
        if pending.expires_at > now:
            raise InvitationPending(
                field="email", next_action="Send it again, or revoke it first.", invitation_id=pending.id
            )
        pending.revoked_at = now
        await session.flush()
    if await repository.count_open(session, workspace.id, now) >= OPEN_PER_WORKSPACE:
        raise TooManyInvitations(
            f"{OPEN_PER_WORKSPACE} invitations are open.", next_action="Revoke one, or wait for an answer."
        )
    invitation = Invitation(
        id=new_id("inv"),
        workspace_id=workspace.id,
        email=email,
        role=request.role,
        invited_by=inviter,
        created_at=now,
        expires_at=now + LIFETIME,
        sends=1,
    )
    session.add(invitation)
    await session.flush()
    mail.enqueue(session, "invitation", invitation.id, now=now)
    await audit.record(
        session,
        workspace_id=workspace.id,
        actor=identity,
        action="auth.invitation.created",
        target=invitation.id,
        data={"role": request.role},
    )
    return view(invitation, now)


async def page(
    session: AsyncSession, clock: Clock, workspace_id: str, page: PageRequest
) -> Page[InvitationView]:
    rows = await repository.page(session, workspace_id, before=page.after_id, limit=page.limit + 1)
    now = clock.now()
    return page.page(rows, lambda row: view(row, now), lambda row: row.id)


async def resend(
    session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str, invitation_id: str
) -> InvitationView:
    """A new mail with a new link for another 72 hours. The link before it is dead, since `sends` has moved on.

    So there is one live link at a time, and a mail that went astray is worth nothing. Raises NotFound,
    InvitationClosed, TooManyInvitations, TooManyRequests.
    """
    require_user(identity)
    workspace = await active(session, workspace_id)
    invitation = await repository.lock(session, workspace.id, invitation_id)
    if invitation is None:
        raise NotFound
    check_reach(await acting_role(session, workspace.id, identity), invitation.role)  # type: ignore[arg-type]
    if invitation.accepted_at is not None or invitation.revoked_at is not None:
        raise InvitationClosed("It was accepted or revoked.", next_action="Invite the address anew.")
    if invitation.sends >= SENDS:
        raise TooManyInvitations(
            f"It was sent {SENDS} times.", next_action="Ask the person another way, or revoke it."
        )
    now = clock.now()
    wait = (invitation.sent_at or invitation.created_at) + SEND_AGAIN_AFTER - now
    if wait > timedelta(0):
        raise TooManyRequests("It was sent a moment ago.", retry_after=math.ceil(wait.total_seconds()))
    invitation.sends += 1
    invitation.sent_at = now
    invitation.expires_at = now + LIFETIME
    mail.enqueue(session, "invitation", invitation.id, now=now)
    await audit.record(
        session,
        workspace_id=workspace.id,
        actor=identity,
        action="auth.invitation.resent",
        target=invitation.id,
        data={"sends": invitation.sends},
    )
    return view(invitation, now)


async def revoke(
    session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str, invitation_id: str
) -> None:
    if not await repository.revoke(session, workspace_id, invitation_id, clock.now()):
        raise NotFound
    await audit.record(
        session,
        workspace_id=workspace_id,
        actor=identity,
        action="auth.invitation.revoked",
        target=invitation_id,
    )


async def accept(
    session: AsyncSession, links: MailLinkVerifier, clock: Clock, identity: Identity, token: SecretStr
) -> AcceptedInvitation:
    """Makes the signed-in person a member. The signed token is what allows acting in the workspace it names.

    Raises LinkRefused, InvitationForAnotherAddress, AlreadyMember.
    """
    account_id = require_user(identity)
    claims = links.verify("invite+jwt", token.get_secret_value())
    workspace_id, invitation_id = str(claims.get("ws", "")), str(claims["sub"])
    email = await repository.email_of(session, account_id)
    if email is None or email != claims.get("email"):
        raise InvitationForAnotherAddress(next_action="Sign in with the address that was invited.")
    await set_context(session, workspace_id=workspace_id, account_id=account_id)
    await active(session, workspace_id)
    now, sends = clock.now(), int(str(claims.get("n", "1")))
    role = await repository.accept(session, workspace_id, invitation_id, email, sends, account_id, now)
    if role is None:
        raise LinkRefused(
            "The invitation was used, revoked, sent anew or is too old.",
            next_action="Look for a newer mail, or ask for an invitation.",
        )
    if not await repository.add_member(session, new_id("mem"), workspace_id, account_id, role, now):
        raise AlreadyMember
    await stream.membership_changed(session, workspace_id, account_id, role)  # type: ignore[arg-type]
    await audit.record(
        session,
        workspace_id=workspace_id,
        actor=identity,
        action="auth.invitation.accepted",
        target=invitation_id,
        data={"role": role},
    )
    return AcceptedInvitation.model_validate({"workspace_id": workspace_id, "role": role})


def view(invitation: Invitation, now: datetime) -> InvitationView:
    if invitation.accepted_at is not None:
        state = "accepted"
    elif invitation.revoked_at is not None:
        state = "revoked"
    else:
        state = "open" if invitation.expires_at > now else "expired"
    return InvitationView.model_validate(
        {
            "id": invitation.id,
            "email": invitation.email,
            "role": invitation.role,
            "state": state,
            "invited_by": invitation.invited_by,
            "created_at": invitation.created_at,
            "sends": invitation.sends,
            "expires_at": invitation.expires_at,
        }
    )
