"""POST …/mailboxes/{mailbox_id}/webmail-sessions."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.vault.no_store import NO_STORE
from services.vault.webmail.schemas import WebmailSession
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
    """A token that signs in once within a minute. Repeating the call gives another one; nothing is stored."""
    response.headers.update(NO_STORE)
    return await resources.webmail.open(session, identity, mailbox_id)
