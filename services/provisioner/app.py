"""The provisioner's API. It asks for things; the worker does them."""

from __future__ import annotations

from fastapi import FastAPI

from services.provisioner.billing.endpoints import router as billing
from services.provisioner.domains.endpoints import router as domains
from services.provisioner.jobs.endpoints import router as jobs
from services.provisioner.mailboxes.endpoints import router as mailboxes
from services.provisioner.regions.endpoints import router as regions
from services.provisioner.servers.endpoints import router as servers
from services.provisioner.settings import ApiSettings
from services.provisioner.subscriptions.endpoints import router as subscriptions
from services.provisioner.wiring import ApiResources, api_resources
from shared.db.database import Database
from shared.web import build_app

ROUTERS = (regions, subscriptions, billing, servers, jobs, domains, mailboxes)


def create_app(
    settings: ApiSettings | None = None,
    *,
    resources: ApiResources | None = None,
    database: Database | None = None,
) -> FastAPI:
    """`resources` and `database` replace those made from the settings."""
    settings = settings or ApiSettings()
    return build_app(
        "provisioner",
        settings,
        ROUTERS,
        resources=resources or api_resources(settings),
        database=database,
    )
