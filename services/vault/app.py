"""The vault's API process: wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.vault.app_passwords import endpoints as app_passwords
from services.vault.client_profiles import endpoints as client_profiles
from services.vault.credential_reads import endpoints as credential_reads
from services.vault.credential_rotations import endpoints as credential_rotations
from services.vault.data_keys import purge
from services.vault.exports import endpoints as exports
from services.vault.hardening import forbid_core_dumps
from services.vault.mailboxes import endpoints as mailboxes
from services.vault.provider_tokens import endpoints as provider_tokens
from services.vault.refusals import RefusalAudit
from services.vault.servers import endpoints as servers
from services.vault.settings import ApiSettings
from services.vault.webmail import endpoints as webmail
from services.vault.wiring import Resources, build_resources
from services.vault.workspaces.service import CHANNEL
from shared.bus.supervise import supervise
from shared.db.database import Database
from shared.web import build_app

ROUTERS = (
    mailboxes.router,
    servers.router,
    webmail.router,
    exports.router,
    provider_tokens.router,
    credential_reads.router,
    credential_rotations.router,
    app_passwords.router,
    client_profiles.router,
)


def create_app(settings: ApiSettings | None = None, resources: Resources | None = None) -> FastAPI:
    """The application. Raises OSError when the kernel refuses to forbid core dumps."""
    forbid_core_dumps()
    settings = settings or ApiSettings()
    parts = resources or build_resources(settings)
    database = Database.from_settings(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = asyncio.Event()
        url = settings.direct_url().get_secret_value()
        tasks = [
            asyncio.create_task(supervise("data key sweep", lambda: purge.sweep(parts.cache), stop)),
            asyncio.create_task(
                supervise("shredded keys", lambda: purge.listen(parts.cache, url, CHANNEL), stop)
            ),
        ]
        try:
            yield
        finally:
            stop.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for scope in parts.cache.scopes():
                parts.cache.purge(scope)

    app = build_app(
        "vault",
        settings,
        ROUTERS,
        resources=parts,
        lifespan=lifespan,
        database=database,
        checks={"key_service": parts.key_service.check},
    )
    app.add_middleware(RefusalAudit, database=database)
    return app
