"""Another address for the account."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.client import ClientDep
from services.auth.email_change.schemas import (
    ChangeAccepted,
    ChangeConfirmed,
    ChangeEmail,
    ChangeUndone,
    ConfirmChange,
    UndoChange,
)
from services.auth.sessions.device_cookies import remember_device
from services.auth.wiring import Wired
from shared.web.access import IdentityDep, public, signed_in

router = APIRouter(tags=["Accounts"])


@router.post("/v1/me/email", status_code=202, dependencies=[signed_in()])
async def change_email(
    request: ChangeEmail, identity: IdentityDep, client: ClientDep, wired: Wired
) -> ChangeAccepted:
    """Asks to move the account to another address, with the password and a code where there is a second factor.
    Nothing changes until the link in the mail to the new address is used, within two hours."""
    await wired.email_changes.request(
        identity.subject, request, client, allow_test_domain=wired.settings.allow_test_domain
    )
    return ChangeAccepted()


@router.post("/v1/auth/email-change/confirm", dependencies=[public()])
async def confirm_email_change(request: ConfirmChange, client: ClientDep, wired: Wired) -> ChangeConfirmed:
    """Moves the account, with the token from the mail to the new address. The old address gets a way back."""
    await wired.email_changes.confirm(request.token, client)
    return ChangeConfirmed()


@router.post("/v1/auth/email-change/undo", dependencies=[public()])
async def undo_email_change(
    request: UndoChange, response: Response, client: ClientDep, wired: Wired
) -> ChangeUndone:
    """Takes the account back to the old address, for 72 hours after the change: sets a new password and ends all
    sessions, since whoever changed it knew the old one. Later changes are undone with it."""
    cookie = await wired.email_changes.undo(request.token, request.password, client)
    remember_device(response, cookie)
    return ChangeUndone()
