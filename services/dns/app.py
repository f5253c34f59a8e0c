"""The API of dns: shows what the worker knows, takes zones and approvals. It holds no credential of any provider."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI

from services.dns.plans.endpoints import router as plans
from services.dns.servers.endpoints import router as servers
from services.dns.settings import ApiSettings
from services.dns.zones.endpoints import router as zones
from shared.clock import Clock, SystemClock
from shared.web.app import build_app


@dataclass(frozen=True)
class ApiResources:
    clock: Clock


def create_app(settings: ApiSettings | None = None, clock: Clock | None = None) -> FastAPI:
    settings = settings or ApiSettings()
    resources = ApiResources(clock or SystemClock())
    return build_app("dns", settings, [zones, plans, servers], resources=resources)
