"""`python -m services.provisioner.admin`: the operator's view, with the worker's settings.

servers            every server: state, step, age
stuck              those that do not get on, and why
unknown            creates whose outcome is not known
sweep [--dry-run]  look for things that belong to nobody; without --dry-run as the setting says
compare            hold Stripe against the servers now, and list in what they differ
findings           in what they differed last, and when that was looked at
prices sync [--dry-run]  make products and prices at Stripe what the plans say; prints what was, or would be, done
recheck SERVER     look at everything again now: certificates, self-test, drift
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.drift import look_again
from services.provisioner.models import BillingComparison, BillingFinding, CloudResource, Condition, Server
from services.provisioner.settings import WorkerSettings
from services.provisioner.sweeper import Sweeper
from services.provisioner.wiring import worker_resources
from shared.db.database import Database
from shared.observability.logging import configure_logging

Row = dict[str, Any]


async def servers(session: AsyncSession) -> list[Row]:
    query = select(Server).where(Server.deleted_at.is_(None)).order_by(Server.id)
    return [_server(row) for row in await session.scalars(query)]


def _server(row: Server) -> Row:
    return {
        "id": row.id,
        "workspace_id": row.workspace_id,
        "hostname": row.hostname,
        "zone": row.zone,
        "desired": row.desired,
        "ever_ready": row.ever_ready,
        "generation": row.generation,
        "observed_generation": row.observed_generation,
        "next_at": row.next_at,
        "lease_owner": row.lease_owner,
    }


async def stuck(session: AsyncSession) -> list[Row]:
    """Servers with a stalled step or a failing one."""
    query = (
        select(Condition, Server.hostname)
        .join(Server, Server.id == Condition.server_id)
        .where(Server.deleted_at.is_(None))
        .where(
            ((Condition.type == "Stalled") & (Condition.status == "true"))
            | ((Condition.status == "false") & (Condition.failures > 2))
        )
        .order_by(Condition.since)
    )
    return [
        {
            "server_id": row.server_id,
            "hostname": hostname,
            "condition": row.type,
            "reason": row.reason,
            "message": row.message,
            "failures": row.failures,
            "since": row.since,
            "due_at": row.due_at,
        }
        for row, hostname in (await session.execute(query)).tuples()
    ]


async def unknown(session: AsyncSession) -> list[Row]:
    query = (
        select(CloudResource)
        .where(CloudResource.state.in_(("intent", "unknown")))
        .order_by(CloudResource.intent_at)
    )
    return [
        {
            "id": row.id,
            "server_id": row.server_id,
            "kind": row.kind,
            "attempt": row.attempt,
            "state": row.state,
            "intent_at": row.intent_at,
        }
        for row in await session.scalars(query)
    ]


async def recheck(session: AsyncSession, server_id: str) -> list[Row]:
    """Every recheck of the server is due now."""
    return [{"condition": kind} for kind in await look_again(session, server_id)]


async def sweep(settings: WorkerSettings, database: Database, dry_run: bool) -> list[Row]:
    resources = worker_resources(settings, database)
    try:
        sweeper = Sweeper(database, resources.ports.cloud, settings, resources.ports.catalogue)
        found = await sweeper.run(dry_run=True if dry_run else None)
    finally:
        await resources.aclose()
    return [
        {
            "kind": row.kind,
            "zone": row.zone,
            "external_id": row.external_id,
            "state": row.state,
            "seen": row.seen,
            "first_seen_at": row.first_seen_at,
            "tags": row.tags,
        }
        for row in found
    ]


async def prices(settings: WorkerSettings, database: Database, dry_run: bool) -> list[Row]:
    resources = worker_resources(settings, database)
    try:
        found = await resources.prices.run(dry_run=dry_run)
    finally:
        await resources.aclose()
    return [{"what": one.what, "subject": one.subject, "detail": one.detail} for one in found]


async def findings(session: AsyncSession) -> list[Row]:
    """The last comparison that was finished first, then what is open."""
    last = await session.scalar(
        select(BillingComparison)
        .where(BillingComparison.finished_at.is_not(None))
        .order_by(BillingComparison.started_at.desc())
        .limit(1)
    )
    looked: Row = {
        "compared_at": last.finished_at if last else None,
        "compared": last.compared if last else 0,
    }
    query = (
        select(BillingFinding)
        .where(BillingFinding.cleared_at.is_(None))
        .order_by(BillingFinding.kind, BillingFinding.subject)
    )
    return [
        looked,
        *(
            {
                "kind": row.kind,
                "subject": row.subject,
                "workspace_id": row.workspace_id,
                "details": row.details,
                "first_seen_at": row.first_seen_at,
                "last_seen_at": row.last_seen_at,
            }
            for row in await session.scalars(query)
        ),
    ]


async def compare(settings: WorkerSettings, database: Database) -> list[Row]:
    resources = worker_resources(settings, database)
    try:
        found = await resources.comparison.run()
    finally:
        await resources.aclose()
    return [{"kind": one.kind, "subject": one.subject, "details": one.details} for one in found]


QUERIES: dict[str, Callable[[AsyncSession], Awaitable[list[Row]]]] = {
    "servers": servers,
    "stuck": stuck,
    "unknown": unknown,
    "findings": findings,
}


async def run(arguments: argparse.Namespace) -> list[Row]:
    settings = WorkerSettings()
    configure_logging("provisioner", "WARNING", "admin")
    database = Database.from_settings(settings)
    try:
        if arguments.command == "sweep":
            return await sweep(settings, database, arguments.dry_run)
        if arguments.command == "compare":
            return await compare(settings, database)
        if arguments.command == "prices":
            return await prices(settings, database, arguments.dry_run)
        async with database.transaction() as session:
            if arguments.command == "recheck":
                return await recheck(session, arguments.server)
            return await QUERIES[arguments.command](session)
    finally:
        await database.dispose()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m services.provisioner.admin",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True)
    for name in QUERIES:
        commands.add_parser(name)
    commands.add_parser("sweep").add_argument("--dry-run", action="store_true")
    commands.add_parser("compare")
    selling = commands.add_parser("prices").add_subparsers(dest="action", required=True)
    selling.add_parser("sync").add_argument("--dry-run", action="store_true")
    commands.add_parser("recheck").add_argument("server")
    return made


def main() -> None:
    rows = asyncio.run(run(parser().parse_args()))
    json.dump(rows, sys.stdout, indent=2, default=_plain)
    sys.stdout.write("\n")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


if __name__ == "__main__":
    main()
