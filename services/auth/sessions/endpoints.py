"""Sign-in, refresh, sign-out, the list of sessions, and the keys that access tokens are signed with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, Header, Request, Response
from pydantic import SecretStr

from services.auth.client import ClientDep
from services.auth.errors import CrossSiteRequest, SessionEnded
from services.auth.sessions import device_cookies, service
from services.auth.sessions.device_cookies import remember_device
from services.auth.sessions.schemas import (
    EndedSessions,
    JsonWebKeySet,
    Reauthentication,
    SessionView,
    SignInRequest,
    TokenView,
)
from services.auth.sessions.service import SignedIn
from services.auth.wiring import Wired
from shared.ids import SessionId
from shared.web.access import IdentityDep, public, signed_in
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Sessions"])
COOKIE = "__Host-sc_rt"
COOKIE_SECONDS = 30 * 24 * 3600
FRESH_SECONDS = 900
"""Who ends other sessions has shown his password at most so long ago (OWASP ASVS 5.0, 7.5.2)."""


@router.post("/v1/auth/sessions", status_code=201, dependencies=[public()])
async def sign_in(
    request: SignInRequest,
    response: Response,
    client: ClientDep,
    wired: Wired,
    device: Annotated[str | None, Cookie(alias=device_cookies.NAME, max_length=128)] = None,
) -> TokenView:
    """Signs in. The access token lives ten minutes; the refresh token is in the cookie `__Host-sc_rt`.

    The cookie `__Host-sc_dc` opens nothing; it tells this browser from strangers who guess at the account.
    With a second factor the answer to the password alone is 401 `second_factor_required`: send it again with `code`.
    """
    signed = await wired.sessions.sign_in(
        request.email,
        request.password,
        client,
        code=request.code,
        device_cookie=SecretStr(device) if device else None,
    )
    view = _answer(response, signed)
    remember_device(response, signed.device_cookie)
    return view


@router.post("/v1/auth/sessions/refresh", dependencies=[public()])
async def refresh(
    request: Request,
    response: Response,
    client: ClientDep,
    wired: Wired,
    token: Annotated[str | None, Cookie(alias=COOKIE, max_length=128)] = None,
    marker: Annotated[str | None, Header(alias="X-SC-CSRF", description="Must be 1")] = None,
) -> TokenView:
    """Exchanges the cookie for a new access token, and the cookie for its successor.

    Only the application's own pages may do this: the header `X-SC-CSRF: 1` is needed, and `Origin` and
    `Sec-Fetch-Site`, where a browser sends them, must be ours.
    """
    _require_same_site(request, wired.settings.public_url, marker)
    if token is None:
        raise SessionEnded(next_action="Sign in.")
    return _answer(response, await wired.sessions.refresh(token, client))


@router.post("/v1/auth/sessions/current/step-up", dependencies=[signed_in()])
async def step_up(
    request: Reauthentication, response: Response, identity: IdentityDep, client: ClientDep, wired: Wired
) -> TokenView:
    """Shows the password again, and a code where there is a second factor, for what asks for a fresh sign-in.

    The answer is an access token with a new `auth_time`; the refresh token stays.
    """
    response.headers["Cache-Control"] = "no-store"
    return await wired.sessions.step_up(
        identity.subject, identity.session_id or "", request.password, request.code, client
    )


@router.delete("/v1/auth/sessions/current", status_code=204, dependencies=[signed_in()])
async def sign_out(identity: IdentityDep, session: SessionDep, wired: Wired) -> Response:
    """Ends the session: the refresh token is dead, and so is the access token, within a second."""
    if identity.session_id is not None:
        await service.end(session, identity.session_id, wired.clock.now(), "signed out")
    # Not "cookies": the device cookie is no credential, and stays so that nobody can keep its owner out.
    response = Response(status_code=204, headers={"Clear-Site-Data": '"cache", "storage"'})
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return response


@router.get("/v1/auth/sessions", dependencies=[signed_in()])
async def list_sessions(
    identity: IdentityDep, session: SessionDep, page: PageDep, wired: Wired
) -> Page[SessionView]:
    """Where the person is signed in: kind of device, network, when, and which one is asking."""
    return await service.page(session, identity.subject, identity.session_id, wired.clock.now(), page)


@router.delete("/v1/auth/sessions", dependencies=[signed_in(step_up=FRESH_SECONDS)])
async def end_other_sessions(
    identity: IdentityDep, session: SessionDep, client: ClientDep, wired: Wired
) -> EndedSessions:
    """Ends all sessions of the person but the one that asks."""
    ended = await service.end_others(
        session, identity.subject, identity.session_id, client=client, now=wired.clock.now()
    )
    return EndedSessions(ended=ended)


@router.delete(
    "/v1/auth/sessions/{session_id}",
    status_code=204,
    dependencies=[signed_in(step_up=FRESH_SECONDS)],
)
async def end_session(
    session_id: SessionId, identity: IdentityDep, session: SessionDep, client: ClientDep, wired: Wired
) -> Response:
    """Ends one session of the person. Its refresh token is dead, and so are its access tokens, within a second."""
    await service.end_own(session, identity.subject, session_id, client=client, now=wired.clock.now())
    return Response(status_code=204)


@router.get("/v1/auth/jwks", dependencies=[public()])
async def jwks(wired: Wired) -> JsonWebKeySet:
    """Public keys of access tokens (RFC 7517)."""
    return JsonWebKeySet.model_validate(wired.tokens.jwks())


def _answer(response: Response, signed: SignedIn) -> TokenView:
    response.set_cookie(
        COOKIE,
        signed.refresh_token.get_secret_value(),
        max_age=COOKIE_SECONDS,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    response.headers["Cache-Control"] = "no-store"
    return signed.view


def _require_same_site(request: Request, public_url: str, marker: str | None) -> None:
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if marker != "1" or site not in (None, "same-origin") or origin not in (None, public_url):
        raise CrossSiteRequest(next_action="Send X-SC-CSRF: 1 from the application's own origin.")
