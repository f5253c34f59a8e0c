"""PUT /internal/mailboxes/{mailbox_id} and POST …/mailboxes/{mailbox_id}/reveal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from services.vault.access import own_workspace
from services.vault.mailboxes.schemas import RevealRequest, RevealResponse
from services.vault.mailboxes.service import Mailboxes
from services.vault.no_store import NO_STORE
from services.vault.wiring import ResourcesDep
from shared.contracts.vault_api import MailboxSecretRequest, MailboxSecretResponse
from shared.ids import MailboxId, WorkspaceId
from shared.web.access import IdentityDep, internal, requires
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
