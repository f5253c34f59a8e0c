"""`build_app`: how every service's API is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from shared.clock import Clock
from shared.db.database import Database
from shared.identity.internal import InternalVerifier
from shared.observability.logging import configure_logging
from shared.settings import ServiceSettings
from shared.web import health, openapi, problems
from shared.web.access import check_routes
from shared.web.middleware import RequestMiddleware

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    service: str,
    settings: ServiceSettings,
    routers: Sequence[APIRouter],
    *,
    resources: Any = None,
    lifespan: Lifespan | None = None,
    database: Database | None = None,
    checks: Mapping[str, health.Check] | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """The application of one service.

    `resources` is the service's own wiring, `app.state.resources` in handlers; `lifespan` runs around the server's
    life; `database` replaces the one made from the settings. Raises `MissingAccessRule` when a route declares none.
    """
    configure_logging(service, settings.log_level, settings.role)
    base = database or Database.from_settings(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(app):
                    yield
        finally:
            await base.dispose()

    app = FastAPI(
        title=f"SendChief {service}",
        version="1",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.database = base
    app.state.resources = resources
    app.state.service = service
    problems.install(app)
    health.install(app, {"database": base.ping, **(checks or {})})
    for router in routers:
        # As their modules have made them: `include_router` would work each of them out anew.
        app.router.routes += router.routes
    check_routes(app, service)
    openapi.describe(app)
    verifier = InternalVerifier(settings.identity_trust_dir, service, clock=clock)
    app.add_middleware(RequestMiddleware, service=service, verifier=verifier)
    return app
