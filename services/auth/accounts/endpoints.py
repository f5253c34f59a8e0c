"""Sign-up, confirmation and the signed-in person."""

from __future__ import annotations

from fastapi import APIRouter

from services.auth.accounts import service
from services.auth.accounts.schemas import (
    AccountView,
    Confirmed,
    ConfirmRequest,
    SignupAccepted,
    SignupRequest,
)
from services.auth.wiring import Wired
from shared.web.access import IdentityDep, public, signed_in
from shared.web.session import SessionDep

router = APIRouter(tags=["Accounts"])


@router.post("/v1/auth/signup", status_code=202, dependencies=[public()])
async def sign_up(request: SignupRequest, wired: Wired) -> SignupAccepted:
    """Asks for an account. The answer is the same whether the address is known or not; a mail says the rest."""
    await service.sign_up(
        wired.database,
        wired.hasher,
        wired.policy,
        wired.clock,
        request,
        allow_test_domain=wired.settings.allow_test_domain,
    )
    return SignupAccepted()


@router.post("/v1/auth/confirm", dependencies=[public()])
async def confirm(request: ConfirmRequest, session: SessionDep, wired: Wired) -> Confirmed:
    """Makes the account, with the token from the mail. The token works once and for 24 hours."""
    await service.confirm(session, wired.links, wired.clock, request.token)
    return Confirmed()


@router.get("/v1/me", dependencies=[signed_in()])
async def me(identity: IdentityDep, session: SessionDep) -> AccountView:
    return await service.me(session, identity.subject)
