"""What the two processes are made of. Vendors are named here and nowhere else."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from services.provisioner.billing.comparison import Comparison
from services.provisioner.billing.prices import Prices
from services.provisioner.hosts.driver import SshHost
from services.provisioner.hosts.ssh_authority import SshAuthority
from services.provisioner.plans import Catalogue
from services.provisioner.ports import CheckoutPort
from services.provisioner.providers.scaleway import Scaleway
from services.provisioner.providers.self_test import SelfTests
from services.provisioner.providers.stripe import StripeBilling, StripeCheckout
from services.provisioner.providers.stripe import client as stripe_client
from services.provisioner.providers.stripe_prices import StripePrices
from services.provisioner.providers.vault import Vault
from services.provisioner.reconciler.backoff import Backoff
from services.provisioner.reconciler.engine import Engine
from services.provisioner.reconciler.gate import Gate, Limits, guarded
from services.provisioner.reconciler.identity import OneTimeKeys
from services.provisioner.reconciler.plan import ABSENT, PRESENT
from services.provisioner.reconciler.postgres import PostgresStore
from services.provisioner.reconciler.record import Recorder
from services.provisioner.reconciler.work import Ports
from services.provisioner.settings import ApiSettings, WorkerSettings
from shared.clock import Clock, SystemClock
from shared.db.database import Database
from shared.http import AsyncClient, InternalClient, vendor_client


@dataclass(frozen=True)
class ApiResources:
    """What handlers of requests are given."""

    settings: ApiSettings
    catalogue: Catalogue
    checkout: CheckoutPort
    clock: Clock


def api_resources(settings: ApiSettings) -> ApiResources:
    api = stripe_client(settings.stripe_checkout_key, settings.stripe_url, settings.http_ca_file)
    return ApiResources(
        settings, Catalogue.load(settings.plans_file), StripeCheckout(api, settings.public_url), SystemClock()
    )


def _api_resources(request: Request) -> ApiResources:
    resources: ApiResources = request.app.state.resources
    return resources


Wired = Annotated[ApiResources, Depends(_api_resources)]


@dataclass(frozen=True)
class WorkerResources:
    """What the worker's tasks and event handlers are given."""

    settings: WorkerSettings
    database: Database
    ports: Ports
    engine: Engine
    prices: Prices
    comparison: Comparison
    scaleway: AsyncClient
    vault: InternalClient

    async def aclose(self) -> None:
        await self.scaleway.aclose()
        await self.vault.aclose()


def worker_resources(settings: WorkerSettings, database: Database) -> WorkerResources:
    clock = SystemClock()
    authority = SshAuthority(SecretStr(settings.ssh_ca_key_file.read_text()), clock)
    host = SshHost(authority)
    scaleway = vendor_client(
        settings.scaleway_url,
        settings.http_ca_file,
        settings.scaleway_timeout,
        headers={"X-Auth-Token": settings.scaleway_secret_key.get_secret_value()},
    )
    vault = InternalClient(settings, callee="vault")
    stripe = stripe_client(settings.stripe_secret_key, settings.stripe_url, settings.http_ca_file)
    ports = Ports(
        settings=settings,
        catalogue=Catalogue.load(settings.plans_file),
        clock=clock,
        cloud=guarded(Scaleway(scaleway, settings.scaleway_project), gate_of(database, settings)),
        host=host,
        vault=Vault(vault),
        billing=StripeBilling(stripe),
        self_test=SelfTests(
            host=host,
            clock=clock,
            egress_target=settings.egress_target(),
            resolvers=tuple(settings.resolver or ()),
            ca_file=settings.self_test_ca_file,
            reverse_signed=settings.reverse_signed,
        ),
        one_time_keys=OneTimeKeys(settings.host_key_secret),
        user_ca_public_key=authority.public_key,
    )
    prices = Prices(database, ports.catalogue, StripePrices(stripe))
    return WorkerResources(
        settings=settings,
        database=database,
        ports=ports,
        engine=build_engine(database, ports),
        prices=prices,
        comparison=Comparison(database, ports.billing, clock),
        scaleway=scaleway,
        vault=vault,
    )


def gate_of(database: Database, settings: WorkerSettings) -> Gate:
    limits = Limits(
        settings.cloud_rate, settings.cloud_burst, settings.breaker_failures, settings.breaker_seconds
    )
    return Gate(database, "scaleway", limits)


def build_engine(database: Database, ports: Ports) -> Engine:
    settings = ports.settings
    recorder = Recorder(
        Backoff(settings.backoff_base, settings.backoff_cap, random.SystemRandom()),
        settings.recheck_seconds,
        settings.deadline_factor,
    )
    owner = f"{socket.gethostname()}:{os.getpid()}"
    return Engine(PostgresStore(database), ports, recorder, owner=owner, present=PRESENT, absent=ABSENT)
