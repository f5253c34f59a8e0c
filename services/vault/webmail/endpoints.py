"""POST and DELETE …/mailboxes/{mailbox_id}/webmail-sessions."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.vault.no_store import NO_STORE
from services.vault.webmail.schemas import WebmailEnded, WebmailSession
from services.vault.wiring import ResourcesDep
from shared.ids import MailboxId, WorkspaceId
from shared.web.access import IdentityDep, requires
from shared.web.session import SessionDep

router = APIRouter(tags=["Webmail"])


@router.post(
    "/v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/webmail-sessions",
    status_code=201,
    dependencies=[requires("webmail.open")],
)
async def open_webmail(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    response: Response,
    session: SessionDep,
    identity: IdentityDep,
    resources: ResourcesDep,
) -> WebmailSession:
    """A token that signs in once within a minute. Repeating the call gives another one."""
    response.headers.update(NO_STORE)
    return await resources.webmail.open(session, identity, mailbox_id)


@router.delete(
    "/v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/webmail-sessions",
    status_code=202,
    dependencies=[requires("webmail.open")],
)
async def end_webmail(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    session: SessionDep,
    identity: IdentityDep,
    resources: ResourcesDep,
) -> WebmailEnded:
    """Ends unused tokens and running sessions of the mailbox, whoever opened them. Who signed in to webmail with the
    mailbox's password itself stays: change the password."""
    return await resources.webmail_ending.of_mailbox(session, identity, mailbox_id)
