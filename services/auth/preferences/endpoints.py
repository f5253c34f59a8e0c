"""Mail preferences of a member, and the one-click way out that each mail carries (RFC 8058)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from services.auth.preferences import service
from services.auth.preferences.schemas import PreferencesView, SetPreferences, Unsubscribed
from services.auth.wiring import Wired
from shared.ids import WorkspaceId
from shared.web.access import IdentityDep, public, requires
from shared.web.conditional import IfMatchDep, etag
from shared.web.session import SessionDep

router = APIRouter(tags=["Notifications"])

Token = Annotated[str, Query(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9_.-]+$")]
ONE_CLICK: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            kind: {"schema": {"type": "object", "properties": {"List-Unsubscribe": {"type": "string"}}}}
            for kind in ("application/x-www-form-urlencoded", "multipart/form-data")
        },
    }
}


@router.get(
    "/v1/workspaces/{workspace_id}/notification-preferences", dependencies=[requires("notifications.read")]
)
async def get_preferences(
    workspace_id: WorkspaceId, response: Response, identity: IdentityDep, session: SessionDep
) -> PreferencesView:
    """What the caller gets mails about from this workspace; its ETag is what a change of it has to send back."""
    shown, version = await service.view(session, identity, workspace_id)
    response.headers["ETag"] = etag(version)
    return shown


@router.put(
    "/v1/workspaces/{workspace_id}/notification-preferences", dependencies=[requires("notifications.write")]
)
async def set_preferences(
    workspace_id: WorkspaceId,
    request: SetPreferences,
    response: Response,
    identity: IdentityDep,
    session: SessionDep,
    if_match: IfMatchDep,
    wired: Wired,
) -> PreferencesView:
    """Switches kinds of mail off and on, for the caller alone. `If-Match` says what he has seen: 428 without, 412 if
    something was switched since, by another window or by the link in a mail."""
    shown, version = await service.replace(session, wired.clock, identity, workspace_id, request, if_match)
    response.headers["ETag"] = etag(version)
    return shown


@router.post("/v1/unsubscribe", dependencies=[public()], openapi_extra=ONE_CLICK)
async def unsubscribe(session: SessionDep, wired: Wired, token: Token) -> Unsubscribed:
    """One click, no sign-in: mail programs post here. The body says nothing that the token does not say better."""
    return await service.unsubscribe(session, wired.links, wired.clock, token)


@router.get("/v1/unsubscribe", status_code=303, response_class=RedirectResponse, dependencies=[public()])
async def unsubscribe_page(wired: Wired, token: Token) -> RedirectResponse:
    """For mail programs that open the address instead: leads to a page with a button, and changes nothing itself."""
    return RedirectResponse(f"{wired.settings.public_url}/unsubscribe#token={token}", status_code=303)
