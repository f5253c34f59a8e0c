"""Puts the worker together from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from services.dns.desired import NameRules
from services.dns.dns_observer import DnsObserver
from services.dns.due_work import DueWork, due_namesets, due_zones
from services.dns.models import Nameset, Zone
from services.dns.pacing import Pace
from services.dns.platform import Platform
from services.dns.ports import Observer, ProviderFactory, ProviderTokens
from services.dns.providers.cloudflare import Cloudflare
from services.dns.providers.vault_tokens import VaultTokens
from services.dns.safety import Limits
from services.dns.servers.passes import NamesetPasses
from services.dns.settings import WorkerSettings
from services.dns.workspaces import service as workspaces
from services.dns.zone_writer import ZoneWriter
from services.dns.zones.passes import ZonePasses
from services.dns.zones.proving import ZonePace
from shared.clock import Clock, SystemClock
from shared.db.database import Database
from shared.http.client import InternalClient, vendor_client
from shared.special_use import parse_networks


@dataclass
class Resources:
    """What consumers and loops work with."""

    database: Database
    clock: Clock
    rules: NameRules
    namesets: DueWork[Nameset]
    zones: DueWork[Zone]
    closing: tuple[Callable[[], Awaitable[None]], ...] = ()

    async def finish_workspaces(self) -> None:
        await workspaces.finish_emptied(self.database, self.clock)

    async def aclose(self) -> None:
        await asyncio.gather(self.namesets.aclose(), self.zones.aclose())
        for close in self.closing:
            await close()


def assemble(
    settings: WorkerSettings,
    database: Database,
    observer: Observer,
    factory: ProviderFactory,
    tokens: ProviderTokens,
    clock: Clock,
) -> Resources:
    """The worker over whatever provider, vault and eyes it is given."""
    rules = NameRules(
        settings.platform_zone, settings.special_use_names, settings.refused_networks, settings.caa_issuers
    )
    limits = Limits()
    writer = ZoneWriter(database, clock, limits)
    platform = Platform(settings.platform_zone, settings.platform_zone_token, factory)
    pace = Pace(settings.pending_seconds, settings.steady_seconds)
    zone_pace = ZonePace(
        settings.proof_seconds,
        settings.proof_patience_seconds,
        settings.steady_seconds,
        settings.plan_ttl_seconds,
    )
    namesets = NamesetPasses(database, observer, writer, platform, rules, pace, clock, limits=limits)
    zones = ZonePasses(database, observer, writer, tokens, factory, zone_pace, clock, limits)
    lease = timedelta(seconds=settings.lease_seconds)
    return Resources(
        database,
        clock,
        rules,
        due_namesets(database, clock, lease, namesets.run),
        due_zones(database, clock, lease, zones.run),
    )


def build_resources(settings: WorkerSettings) -> Resources:
    """The worker over the real world."""
    cloudflare = Cloudflare(
        vendor_client(settings.cloudflare_url, settings.http_ca_file), requests=settings.cloudflare_requests
    )
    vault = VaultTokens(InternalClient(settings, "vault"))
    observer = DnsObserver(
        settings.resolver,
        parse_networks(settings.refused_networks),
        port=settings.dns_port,
        resolver_port=settings.dns_port,
        timeout=settings.dns_timeout,
    )
    database = Database.from_settings(settings)
    resources = assemble(settings, database, observer, cloudflare, vault, SystemClock())
    resources.closing = (cloudflare.aclose, vault.aclose)
    return resources
