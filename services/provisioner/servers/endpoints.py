"""Servers: list, one with all its evidence, and what can be ordered of them."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.provisioner.servers import orders, service
from services.provisioner.servers.schemas import (
    CancelServer,
    OrderAccepted,
    OrderServer,
    RebuildServer,
    ServerDetail,
    ServerView,
)
from shared.ids import ServerId, WorkspaceId
from shared.web import IdempotencyDep, IdentityDep, Page, PageDep, SessionDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/servers", tags=["Servers"])


@router.get("", dependencies=[requires("servers.read")])
async def list_all(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[ServerView]:
    return await service.page(session, workspace_id, page)


@router.get("/{server_id}", dependencies=[requires("servers.read")])
async def get(workspace_id: WorkspaceId, server_id: ServerId, session: SessionDep) -> ServerDetail:
    """Conditions, every address with the lists that refused it, and the evidence of the last self-test."""
    return await service.get(session, server_id)


@router.post(
    "/{server_id}/cancel",
    status_code=202,
    response_model=OrderAccepted,
    dependencies=[requires("servers.write")],
)
async def cancel(
    workspace_id: WorkspaceId,
    server_id: ServerId,
    request: CancelServer,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
) -> Response:
    """Ends the server at once: names, addresses, disk and all. `confirm_name` is its full host name."""

    async def call() -> OrderAccepted:
        job = await service.cancel(session, identity, server_id, request)
        return OrderAccepted(job_id=job.id)

    return await idempotency.run(status_code=202, call=call)


@router.post(
    "/{server_id}/reboot",
    status_code=202,
    response_model=OrderAccepted,
    dependencies=[requires("servers.write")],
)
async def reboot(
    workspace_id: WorkspaceId,
    server_id: ServerId,
    request: OrderServer,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
) -> Response:
    """Shuts the server down, starts it again and proves it again. It also ends the rescue system."""

    async def call() -> OrderAccepted:
        job = await orders.reboot(session, identity, server_id, request.reason)
        return OrderAccepted(job_id=job.id)

    return await idempotency.run(status_code=202, call=call)


@router.post(
    "/{server_id}/rescue",
    status_code=202,
    response_model=OrderAccepted,
    dependencies=[requires("servers.write")],
)
async def rescue(
    workspace_id: WorkspaceId,
    server_id: ServerId,
    request: OrderServer,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
) -> Response:
    """Starts the data centre's rescue system instead of the server's own, so that our operators can look at its disk.
    The server takes no mail meanwhile (senders keep theirs and try again); `reboot` brings it back."""

    async def call() -> OrderAccepted:
        job = await orders.rescue(session, identity, server_id, request.reason)
        return OrderAccepted(job_id=job.id)

    return await idempotency.run(status_code=202, call=call)


@router.post(
    "/{server_id}/rebuild",
    status_code=202,
    response_model=OrderAccepted,
    dependencies=[requires("servers.write")],
)
async def rebuild(
    workspace_id: WorkspaceId,
    server_id: ServerId,
    request: RebuildServer,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
) -> Response:
    """Deletes the machine and its disk, and makes another behind the same name, addresses and reverse names.

    **All mail on the disk is lost**, unless you have copied it elsewhere by IMAP before; mail that waits to be sent is
    lost too. Domains, mailboxes and their passwords come back. The new machine has keys of its own: SSH, TLS, webmail,
    and DKIM, so look at each domain's DNS plan afterwards and apply it.
    """

    async def call() -> OrderAccepted:
        job = await orders.rebuild(session, identity, server_id, request)
        return OrderAccepted(job_id=job.id)

    return await idempotency.run(status_code=202, call=call)
