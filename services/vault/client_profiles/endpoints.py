"""GET …/mailboxes/{mailbox_id}/client-profile: a file that sets up a mail program, without the password."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from services.vault.client_profiles import documents
from services.vault.errors import ServerNotReady
from services.vault.mailboxes import repository as mailboxes
from services.vault.servers import repository as servers
from shared.errors import NotFound
from shared.ids import MailboxId, WorkspaceId
from shared.web.access import requires
from shared.web.session import SessionDep

router = APIRouter(tags=["Mailboxes"])


@router.get(
    "/v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/client-profile",
    dependencies=[requires("mailboxes.read")],
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {documents.APPLE: {}, documents.THUNDERBIRD: {}},
        }
    },
)
async def client_profile(
    workspace_id: WorkspaceId,
    mailbox_id: MailboxId,
    session: SessionDep,
    client: Annotated[Literal["apple", "thunderbird"], Query()] = "apple",
) -> Response:
    """`apple`: a `.mobileconfig` for Mail on iOS and macOS. `thunderbird`: its configuration file for the domain."""
    mailbox = await mailboxes.get(session, mailbox_id)
    if mailbox is None or mailbox.address is None:
        raise NotFound
    hostname = (await servers.hostnames(session, [mailbox.server_id])).get(mailbox.server_id)
    if hostname is None:
        raise ServerNotReady("Its server has no name yet.")
    if client == "apple":
        content = documents.apple(mailbox.id, mailbox.address, mailbox.display_name, hostname)
        return _file(content, documents.APPLE, f"{mailbox_id}.mobileconfig")
    return _file(documents.thunderbird(mailbox.address, hostname), documents.THUNDERBIRD, "config-v1.1.xml")


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
