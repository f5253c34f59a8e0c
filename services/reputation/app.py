"""The API process: wiring only."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI

from services.reputation.blacklists import endpoints as blacklists
from services.reputation.blacklists.catalogue import Catalogue, load
from services.reputation.checks import endpoints as checks
from services.reputation.settings import ApiSettings
from shared.web import build_app


@dataclass(frozen=True)
class ApiResources:
    catalogue: Catalogue


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    settings = settings or ApiSettings()
    resources = ApiResources(load(settings.blacklists_file, settings.blacklist_keys))
    return build_app("reputation", settings, [blacklists.router, checks.router], resources=resources)
