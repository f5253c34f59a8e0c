"""The second factor of the signed-in person. Each change asks for the password, and for a code once it is on."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.client import ClientDep
from services.auth.second_factor.schemas import (
    AuthenticatorKey,
    FirstCode,
    PasswordAgain,
    RecoveryCodes,
    SecondFactorView,
)
from services.auth.sessions.schemas import Reauthentication
from services.auth.wiring import Wired
from shared.web.access import IdentityDep, signed_in

router = APIRouter(tags=["Second factor"])
PATH = "/v1/me/second-factor"


@router.get(PATH, dependencies=[signed_in()])
async def see(identity: IdentityDep, wired: Wired) -> SecondFactorView:
    return await wired.enrolment.view(identity.subject)


@router.post(PATH, status_code=201, dependencies=[signed_in()])
async def start(
    request: PasswordAgain, identity: IdentityDep, client: ClientDep, wired: Wired
) -> AuthenticatorKey:
    """Makes a key for an authenticator app (RFC 6238). It counts from the first code on, which has to come within
    half an hour; asking again makes another key."""
    return await wired.enrolment.start(identity, request.password, client)


@router.post(f"{PATH}/confirm", dependencies=[signed_in()])
async def confirm(
    request: FirstCode, identity: IdentityDep, client: ClientDep, wired: Wired
) -> RecoveryCodes:
    """Turns it on with the first code of the app, ends all other sessions, and shows ten recovery codes once.

    Should the answer get lost, the factor is on: make new recovery codes.
    """
    return await wired.enrolment.confirm(identity, request.code, client)


@router.post(f"{PATH}/recovery-codes", dependencies=[signed_in()])
async def replace_recovery_codes(
    request: Reauthentication, identity: IdentityDep, client: ClientDep, wired: Wired
) -> RecoveryCodes:
    """Ten new recovery codes; the old ones are worthless from here on."""
    return await wired.enrolment.replace_recovery_codes(identity, request.password, request.code, client)


@router.delete(PATH, status_code=204, dependencies=[signed_in()])
async def turn_off(
    request: Reauthentication, identity: IdentityDep, client: ClientDep, wired: Wired
) -> Response:
    """Back to the password alone."""
    await wired.enrolment.turn_off(identity, request.password, request.code, client)
    return Response(status_code=204)
