"""Passwords: changing one, and replacing one that is lost."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.client import ClientDep
from services.auth.credentials.schemas import (
    ChangePassword,
    CompleteReset,
    PasswordChanged,
    PasswordSet,
    RequestReset,
    ResetRequested,
)
from services.auth.sessions.device_cookies import remember_device
from services.auth.wiring import Wired
from shared.web.access import IdentityDep, public, signed_in

router = APIRouter(tags=["Accounts"])


@router.post("/v1/me/password", dependencies=[signed_in()])
async def change_password(
    request: ChangePassword, response: Response, identity: IdentityDep, client: ClientDep, wired: Wired
) -> PasswordChanged:
    """Replaces the password, which has to be given once more, with a code where there is a second factor. All other
    sessions end."""
    ended, cookie = await wired.credentials.change(identity.subject, identity.session_id, request, client)
    remember_device(response, cookie)
    return PasswordChanged(ended_sessions=ended)


@router.post("/v1/auth/password-reset", status_code=202, dependencies=[public()])
async def request_password_reset(request: RequestReset, wired: Wired) -> ResetRequested:
    """Asks for a mail with a link that sets a new password. Known and unknown addresses get the same answer.

    One mail in five minutes is sent to an address; the newest link is the only one that works.
    """
    await wired.credentials.request_reset(request.email, allow_test_domain=wired.settings.allow_test_domain)
    return ResetRequested()


@router.post("/v1/auth/password-reset/complete", dependencies=[public()])
async def complete_password_reset(
    request: CompleteReset, response: Response, client: ClientDep, wired: Wired
) -> PasswordSet:
    """Sets the password with the token from the mail, which works once and for 30 minutes. All sessions end; a
    second factor stays."""
    remember_device(response, await wired.credentials.complete_reset(request.token, request.password, client))
    return PasswordSet()
