"""Mailboxes."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.provisioner.mailboxes import service
from services.provisioner.mailboxes.schemas import (
    CreateMailbox,
    MailboxAccepted,
    MailboxView,
    RemovalAccepted,
)
from services.provisioner.wiring import Wired
from shared.ids import DomainId, MailboxId, WorkspaceId
from shared.web import IdempotencyDep, IdentityDep, Page, PageDep, SessionDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}", tags=["Mailboxes"])


@router.post(
    "/domains/{domain_id}/mailboxes",
    status_code=202,
    response_model=MailboxAccepted,
    dependencies=[requires("mailboxes.write")],
)
async def create(
    workspace_id: WorkspaceId,
    domain_id: DomainId,
    request: CreateMailbox,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Makes a mailbox with a password of the vault's own making."""
    return await idempotency.run(
        status_code=202,
        call=lambda: service.create(session, identity, domain_id, request, wired.catalogue),
    )


@router.get("/mailboxes", dependencies=[requires("mailboxes.read")])
async def list_all(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[MailboxView]:
    return await service.page(session, workspace_id, page)


@router.get("/mailboxes/{mailbox_id}", dependencies=[requires("mailboxes.read")])
async def get(workspace_id: WorkspaceId, mailbox_id: MailboxId, session: SessionDep) -> MailboxView:
    """With all that a mail program asks for, except the password."""
    return await service.get(session, mailbox_id)


@router.delete("/mailboxes/{mailbox_id}", status_code=202, dependencies=[requires("mailboxes.write")])
async def remove(
    workspace_id: WorkspaceId, mailbox_id: MailboxId, identity: IdentityDep, session: SessionDep
) -> RemovalAccepted:
    """Removes the mailbox and its secrets."""
    return await service.remove(session, identity, mailbox_id)
