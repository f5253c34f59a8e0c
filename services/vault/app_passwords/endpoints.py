"""POST and GET …/mailboxes/{mailbox_id}/app-passwords, DELETE …/app-passwords/{app_password_id}."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.vault.app_passwords.schemas import (
    AppPasswordCreated,
    AppPasswordView,
    NewAppPassword,
    Revocation,
)
from services.vault.no_store import NO_STORE
from services.vault.wiring import ResourcesDep
from shared.ids import AppPasswordId, MailboxId, WorkspaceId
from shared.web.access import IdentityDep, requires
from shared.web.idempotency import IdempotencyDep
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(prefix="/v1/workspaces/{workspace_id}", tags=["App passwords"])


@router.post(
    "/mailboxes/{mailbox_id}/app-passwords",
    status_code=201,
    response_model=AppPasswordCreated,
    dependencies=[requires("credentials.change", step_up=300)],
)
async def create_app_password(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    request: NewAppPassword,
    session: SessionDep,
    identity: IdentityDep,
    idempotency: IdempotencyDep,
    resources: ResourcesDep,
) -> Response:
    """A password for one tool, shown this once. A repeated request shows it again, without the password."""
    return await idempotency.run(
        status_code=201,
        call=lambda: resources.app_passwords.create(session, identity, mailbox_id, request),
        secret_fields=("password",),
        headers=NO_STORE,
    )


@router.get("/mailboxes/{mailbox_id}/app-passwords", dependencies=[requires("app_passwords.read")])
async def list_app_passwords(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    page: PageDep,
    session: SessionDep,
    resources: ResourcesDep,
) -> Page[AppPasswordView]:
    """Those that open the mailbox, soon will, or still do."""
    return await resources.app_passwords.page(session, mailbox_id, page)


@router.delete(
    "/app-passwords/{app_password_id}", status_code=202, dependencies=[requires("credentials.change")]
)
async def revoke_app_password(
    workspace_id: WorkspaceId,
    app_password_id: AppPasswordId,
    session: SessionDep,
    identity: IdentityDep,
    resources: ResourcesDep,
) -> Revocation:
    """Takes it away. It needs no fresh sign-in: who is in a hurry to revoke shall not be stopped."""
    return await resources.app_passwords.revoke(session, identity, app_password_id)
