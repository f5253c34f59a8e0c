"""The application: the control token, the routes of each outside party, and what an error answers."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from sandbox.cloudflare.envelope import ApiError
from sandbox.control import billing, cloud, cloudflare, dns, mail, world
from sandbox.control.wiring import Wiring
from sandbox.dns import UnknownZone
from sandbox.dns.records import InvalidRecord
from sandbox.dnsbl import UnknownList
from sandbox.stripe.errors import StripeError


def create_app(wiring: Wiring, token: SecretStr) -> FastAPI:
    """The control API over `wiring`."""

    def authorised(request: Request) -> None:
        expected = f"Bearer {token.get_secret_value()}"
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode()):
            raise HTTPException(
                401, "the control token is missing or wrong (see control_token in endpoints.json)"
            )

    app = FastAPI(title="Sandbox control", docs_url=None, redoc_url=None, dependencies=[Depends(authorised)])
    for router in (
        world.create_router(wiring),
        dns.create_router(wiring),
        cloudflare.create_router(wiring),
        billing.create_router(wiring),
        mail.create_router(wiring),
        cloud.create_router(wiring),
    ):
        app.include_router(router)
    for kind, status in _ERRORS.items():
        app.add_exception_handler(kind, _refusal(status))
    return app


_ERRORS: dict[type[Exception], int] = {
    UnknownZone: 404,
    UnknownList: 404,
    KeyError: 404,
    InvalidRecord: 422,
    ValueError: 422,
    StripeError: 409,
    ApiError: 422,
}


def _refusal(status: int) -> Callable[[Request, Exception], JSONResponse]:
    def answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=status)

    return answer
