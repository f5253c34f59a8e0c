"""The provider's webhook, and what people see and can do about addresses that mail does not reach."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from services.auth.deliverability import service
from services.auth.deliverability.schemas import (
    MailState,
    SuppressionId,
    UndeliverableList,
    WebhookTaken,
)
from services.auth.wiring import Wired
from shared.ids import WorkspaceId
from shared.web.access import IdentityDep, public, requires, signed_in
from shared.web.session import SessionDep
from shared.web.signed_body import SIGNED_JSON, read_bounded

router = APIRouter(tags=["Notifications"])
_SIGNED = Header(max_length=2048)


@router.post("/v1/webhooks/resend", dependencies=[public()], openapi_extra=SIGNED_JSON)
async def resend_webhook(
    request: Request,
    session: SessionDep,
    wired: Wired,
    svix_id: Annotated[str | None, _SIGNED] = None,
    svix_timestamp: Annotated[str | None, _SIGNED] = None,
    svix_signature: Annotated[str | None, _SIGNED] = None,
) -> WebhookTaken:
    """Takes a signed event about one of our mails. The same event twice changes nothing."""
    return await service.take(
        session,
        await read_bounded(request.stream()),
        event_id=svix_id,
        timestamp=svix_timestamp,
        signatures=svix_signature,
        webhook=wired.mail_webhook,
        now=wired.clock.now(),
    )


@router.get("/v1/me/mail", dependencies=[signed_in()])
async def my_mail(identity: IdentityDep, session: SessionDep, wired: Wired) -> MailState:
    """Whether our mails reach the caller's address."""
    return await service.state(session, wired.clock, identity.subject)


@router.delete("/v1/me/mail/suppression", dependencies=[signed_in()])
async def lift_my_suppression(identity: IdentityDep, session: SessionDep, wired: Wired) -> MailState:
    """Mails go to the caller's address again. If the next comes back, they stop again."""
    return await service.lift_own(session, wired.clock, identity.subject)


@router.get("/v1/workspaces/{workspace_id}/undeliverable", dependencies=[requires("members.read")])
async def list_undeliverable(
    workspace_id: WorkspaceId, session: SessionDep, wired: Wired
) -> UndeliverableList:
    """Members and open invitations whose address returned our mail or called it spam."""
    return await service.of_workspace(session, wired.clock, workspace_id)


@router.delete(
    "/v1/workspaces/{workspace_id}/undeliverable/{suppression_id}",
    status_code=204,
    dependencies=[requires("members.write")],
)
async def lift_suppression(
    workspace_id: WorkspaceId, suppression_id: SuppressionId, session: SessionDep, wired: Wired
) -> Response:
    """Mails go to this address again, after a mistake there was mended. A complaint only the person can lift."""
    await service.lift_in_workspace(session, wired.clock, workspace_id, suppression_id)
    return Response(status_code=204)
