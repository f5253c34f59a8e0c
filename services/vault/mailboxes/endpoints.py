"""PUT /internal/mailboxes/{mailbox_id}; POST …/reveal, …/password and …/chosen-password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from services.vault.access import own_workspace
from services.vault.mailboxes.schemas import (
    NewPassword,
    PasswordChange,
    RenewPassword,
    RevealRequest,
    RevealResponse,
)
from services.vault.mailboxes.service import Mailboxes
from services.vault.no_store import NO_STORE
from services.vault.wiring import ResourcesDep
from shared.contracts.vault_api import MailboxSecretRequest, MailboxSecretResponse
from shared.ids import MailboxId, WorkspaceId
from shared.web.access import IdentityDep, internal, requires
from shared.web.idempotency import IdempotencyDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Secrets"])


async def _mailboxes(resources: ResourcesDep) -> Mailboxes:
    return resources.mailboxes


MailboxesDep = Annotated[Mailboxes, Depends(_mailboxes)]


@router.put("/internal/mailboxes/{mailbox_id}", dependencies=[internal("provisioner")])
async def put_mailbox(
    mailbox_id: MailboxId,
    request: MailboxSecretRequest,
    response: Response,
    session: SessionDep,
    identity: IdentityDep,
    mailboxes: MailboxesDep,
) -> MailboxSecretResponse:
    own_workspace(identity, request.workspace_id)
    response.headers.update(NO_STORE)
    return await mailboxes.verifiers(session, identity, mailbox_id, request)


@router.post(
    "/v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/reveal",
    dependencies=[requires("credentials.reveal", step_up=300)],
)
async def reveal(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    request: RevealRequest,
    response: Response,
    session: SessionDep,
    identity: IdentityDep,
    mailboxes: MailboxesDep,
) -> RevealResponse:
    """The mailbox's password. On record, with the reason, before it is answered."""
    response.headers.update(NO_STORE)
    return await mailboxes.reveal(session, identity, mailbox_id, request.reason)


@router.post(
    "/v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/chosen-password",
    status_code=202,
    dependencies=[requires("credentials.change", step_up=300)],
)
async def set_password(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    request: NewPassword,
    session: SessionDep,
    identity: IdentityDep,
    resources: ResourcesDep,
) -> PasswordChange:
    """A password of the caller's choice. No Idempotency-Key: not even a hash of a body with a password is kept."""
    return await resources.password_changes.set(
        session, identity, mailbox_id, request.password, request.reason
    )


@router.post(
    "/v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/password",
    status_code=202,
    response_model=PasswordChange,
    dependencies=[requires("credentials.change", step_up=300)],
)
async def renew_password(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    request: RenewPassword,
    session: SessionDep,
    identity: IdentityDep,
    idempotency: IdempotencyDep,
    resources: ResourcesDep,
) -> Response:
    """A new generated password. It is revealed when its server has it."""
    return await idempotency.run(
        status_code=202,
        call=lambda: resources.password_changes.renew(session, identity, mailbox_id, request.reason),
    )
