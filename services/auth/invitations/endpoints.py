"""Invitations."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.invitations import service
from services.auth.invitations.schemas import (
    AcceptedInvitation,
    AcceptInvitation,
    CreateInvitation,
    InvitationView,
)
from services.auth.wiring import Wired
from shared.ids import InvitationId, WorkspaceId
from shared.web.access import IdentityDep, requires, signed_in
from shared.web.idempotency import IdempotencyDep
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Invitations"])
_PATH = "/v1/workspaces/{workspace_id}/invitations"


@router.post(_PATH, status_code=201, response_model=InvitationView, dependencies=[requires("members.write")])
async def invite(
    workspace_id: WorkspaceId,
    request: CreateInvitation,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Sends an invitation by mail. The link in it works once, for 72 hours, for that address only."""
    return await idempotency.run(
        status_code=201,
        call=lambda: service.create(
            session,
            wired.clock,
            identity,
            workspace_id,
            request,
            allow_test_domain=wired.settings.allow_test_domain,
        ),
    )


@router.get(_PATH, dependencies=[requires("members.read")])
async def list_invitations(
    workspace_id: WorkspaceId, session: SessionDep, page: PageDep, wired: Wired
) -> Page[InvitationView]:
    return await service.page(session, wired.clock, workspace_id, page)


@router.post(_PATH + "/{invitation_id}/resend", dependencies=[requires("members.write")])
async def resend_invitation(
    workspace_id: WorkspaceId,
    invitation_id: InvitationId,
    identity: IdentityDep,
    session: SessionDep,
    wired: Wired,
) -> InvitationView:
    """Sends a new link, good for 72 hours; the old one is dead. Five mails at most, a minute apart."""
    return await service.resend(session, wired.clock, identity, workspace_id, invitation_id)


@router.delete(_PATH + "/{invitation_id}", status_code=204, dependencies=[requires("members.write")])
async def revoke_invitation(
    workspace_id: WorkspaceId,
    invitation_id: InvitationId,
    identity: IdentityDep,
    session: SessionDep,
    wired: Wired,
) -> Response:
    await service.revoke(session, wired.clock, identity, workspace_id, invitation_id)
    return Response(status_code=204)


@router.post("/v1/invitations/accept", dependencies=[signed_in()])
async def accept_invitation(
    request: AcceptInvitation, identity: IdentityDep, session: SessionDep, wired: Wired
) -> AcceptedInvitation:
    """Joins the workspace, with the token from the mail. The second use is refused (410)."""
    return await service.accept(session, wired.links, wired.clock, identity, request.token)
