"""Sending domains."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.provisioner.domains import moving, service
from services.provisioner.domains.schemas import (
    CreateDomain,
    DomainAccepted,
    DomainView,
    MoveAccepted,
    MoveDomain,
    RemovalAccepted,
)
from services.provisioner.wiring import Wired
from shared.ids import DomainId, WorkspaceId
from shared.web import IdempotencyDep, IdentityDep, Page, PageDep, SessionDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/domains", tags=["Domains"])


@router.post("", status_code=202, response_model=DomainAccepted, dependencies=[requires("domains.write")])
async def create(
    workspace_id: WorkspaceId,
    request: CreateDomain,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Puts a proven zone on a server: keys are made there, records follow by the zone's DNS plan."""
    return await idempotency.run(
        status_code=202,
        call=lambda: service.create(session, identity, request, wired.catalogue, wired.clock.now()),
    )


@router.get("", dependencies=[requires("domains.read")])
async def list_all(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[DomainView]:
    return await service.page(session, workspace_id, page)


@router.get("/{domain_id}", dependencies=[requires("domains.read")])
async def get(workspace_id: WorkspaceId, domain_id: DomainId, session: SessionDep) -> DomainView:
    return await service.get(session, domain_id)


@router.delete("/{domain_id}", status_code=202, dependencies=[requires("domains.write")])
async def remove(
    workspace_id: WorkspaceId, domain_id: DomainId, identity: IdentityDep, session: SessionDep
) -> RemovalAccepted:
    """Takes the domain off its server and withdraws our records. It must have no mailboxes."""
    return await service.remove(session, identity, domain_id)


@router.post(
    "/{domain_id}/move",
    status_code=202,
    response_model=MoveAccepted,
    dependencies=[requires("domains.write")],
)
async def move(
    workspace_id: WorkspaceId,
    domain_id: DomainId,
    request: MoveDomain,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Moves a domain to another server of the workspace, with its mailboxes, their mail and their passwords.

    The new server makes keys of its own, and the mail is copied while the old one goes on serving. Then look at the
    zone's DNS plan and apply it. Once the new records are visible, the mailboxes are closed for as long as it takes to
    copy what came meanwhile, usually seconds: nobody can sign in, and senders are told to try again. Then they are open
    on the new server, with the same messages, folders, flags, filters and passwords.

    **Mail programs that were set up with the old server's host name need the new one** (`client_settings` of the
    mailbox); with automatic configuration they find it by themselves when they are set up anew. Webmail is opened at
    the new server; contacts and settings that were made in the old one's webmail do not come along.

    Until the mailboxes are open there, the domain can be taken back: move it to the server that it comes from. No
    mailbox is added or removed meanwhile.
    """
    return await idempotency.run(
        status_code=202,
        call=lambda: moving.move(session, identity, domain_id, request, wired.catalogue, wired.clock.now()),
    )
