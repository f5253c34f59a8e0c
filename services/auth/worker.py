"""Auth's worker process: relay, consumers, mail, webhooks, heartbeat."""

from __future__ import annotations

import asyncio
from functools import partial

from services.auth import stream
from services.auth.bindings import BINDINGS
from services.auth.forgetting import KEEP
from services.auth.mail_links import MailLinkSigner
from services.auth.notifications.service import forget_settled, send_due
from services.auth.providers.dns_hosts import DnsHosts
from services.auth.providers.resend import ResendMailer
from services.auth.sealing import Sealing
from services.auth.settings import WorkerSettings
from services.auth.webhooks.delivery import Deliveries
from services.auth.webhooks.service import Webhooks
from services.auth.wiring import WorkerResources
from shared.bus.housekeeping import PERIOD_SECONDS, sweep
from shared.bus.worker import Periodic, run_worker
from shared.clock import SystemClock
from shared.db.database import Database
from shared.http import vendor_client
from shared.http.public import PublicClient

HEARTBEAT_SECONDS = 1.0
FORGET_SECONDS = 3600.0
SEAL_SECONDS = 3600.0


def build_resources(settings: WorkerSettings, database: Database) -> WorkerResources:
    clock = SystemClock()
    client = vendor_client(settings.resend_url, settings.http_ca_file)
    return WorkerResources(
        database=database,
        clock=clock,
        mailer=ResendMailer(client, settings.resend_api_key, settings.mail_from),
        links=MailLinkSigner(settings.mail_key_file.read_bytes(), clock),
        public_url=settings.public_url,
    )


def build_deliveries(settings: WorkerSettings, resources: WorkerResources) -> Deliveries:
    client = PublicClient(
        DnsHosts(settings.resolver),
        refused_networks=settings.webhook_refused_networks,
        ca_file=settings.http_ca_file,
        timeout=settings.webhook_timeout,
    )
    sealing = Sealing("webhook", settings.webhook_key, settings.webhook_previous_key)
    webhooks = Webhooks(resources.clock, sealing, settings.webhook_ports)
    return Deliveries(resources.database, webhooks, client)


async def beat(database: Database) -> None:
    """Tells gateways that the way from here to them is open; takes the beats that have gone out off the outbox."""
    async with database.transaction() as session:
        await stream.forget_beats(session)
        await stream.heartbeat(session)


async def main() -> None:
    settings = WorkerSettings()
    database = Database.from_settings(settings)
    resources = build_resources(settings, database)
    deliveries = build_deliveries(settings, resources)
    resources.closing.append(deliveries.aclose)
    await run_worker(
        settings,
        BINDINGS,
        resources=resources,
        tasks=[
            Periodic(settings.mail_poll_seconds, partial(send_due, resources), name="mail"),
            Periodic(settings.webhook_poll_seconds, deliveries.turn, name="webhooks"),
            Periodic(SEAL_SECONDS, deliveries.seal_anew, name="webhook secrets"),
            Periodic(FORGET_SECONDS, partial(forget_settled, database, resources.clock), name="old mail"),
            Periodic(HEARTBEAT_SECONDS, partial(beat, database), name="heartbeat"),
            Periodic(PERIOD_SECONDS, partial(sweep, database, KEEP), name="forgetting"),
        ],
        database=database,
    )


if __name__ == "__main__":
    asyncio.run(main())
