"""`python -m services.provisioner.admin`: the operator's view, with the worker's settings.

servers            every server: its wish, how far it is, who works on it
stuck              those that do not get on, why, and what the step log says last
unknown            creates whose outcome is not known
unowned            what the sweeper has found at the cloud that belongs to nobody, and what became of it
quotas             our limits at the cloud and what is used of them, as the worker read them last
stock              what each zone has of our plans' sizes, and what it costs us
redrive QUEUE      gives parked messages of one of our queues back to it (with the operator's SC_AMQP_URL)
sweep [--dry-run]  look for things that belong to nobody; without --dry-run as the setting says
compare            hold Stripe against the servers now, and list in what they differ
findings           in what they differed last, and when that was looked at
prices sync [--dry-run]  make products and prices at Stripe what the plans say; prints what was, or would be, done
adopt SERVER       what the cloud has of a paid server that the books have lost, and what would be taken back into them;
                   with --apply it is done, once --host-key confirms whom we shall speak to (docs/runbooks/restore.md)
recheck SERVER     look at everything again now: certificates, self-test, drift
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys

from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.adoption.machine import NotAdoptable
from services.provisioner.adoption.service import Adoption, Order
from services.provisioner.bindings import BINDINGS
from services.provisioner.drift import look_again
from services.provisioner.operators.endpoints import as_json
from services.provisioner.operators.repository import QUERIES, Row, finding
from services.provisioner.settings import WorkerSettings
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from services.provisioner.wiring import worker_resources
from shared.bus.redrive import redrive
from shared.bus.topology import operator_url
from shared.db.database import Database
from shared.observability.logging import configure_logging


async def recheck(session: AsyncSession, server_id: str) -> list[Row]:
    """Every recheck of the server is due now."""
    return [{"condition": kind} for kind in await look_again(session, server_id)]


async def sweep(settings: WorkerSettings, database: Database, dry_run: bool) -> list[Row]:
    resources = worker_resources(settings, database)
    try:
        sweeper = Sweeper(
            PostgresFindings(database), resources.ports.cloud, settings, resources.ports.catalogue
        )
        found = await sweeper.run(dry_run=True if dry_run else None)
    finally:
        await resources.aclose()
    return [finding(row) for row in found]


async def prices(settings: WorkerSettings, database: Database, dry_run: bool) -> list[Row]:
    resources = worker_resources(settings, database)
    try:
        found = await resources.prices.run(dry_run=dry_run)
    finally:
        await resources.aclose()
    return [{"what": one.what, "subject": one.subject, "detail": one.detail} for one in found]


async def compare(settings: WorkerSettings, database: Database) -> list[Row]:
    resources = worker_resources(settings, database)
    try:
        found = await resources.comparison.run()
    finally:
        await resources.aclose()
    return [{"kind": one.kind, "subject": one.subject, "details": one.details} for one in found]


async def adopt(settings: WorkerSettings, database: Database, arguments: argparse.Namespace) -> list[Row]:
    resources = worker_resources(settings, database)
    order = Order(
        server_id=arguments.server,
        operator=getpass.getuser(),
        machine=arguments.machine,
        host_key=arguments.host_key,
        rebuild=arguments.rebuild,
    )
    try:
        adoption = Adoption(database, resources.ports)
        return await (adoption.carry_out(order) if arguments.apply else adoption.look(order))
    finally:
        await resources.aclose()


async def give_back(arguments: argparse.Namespace) -> list[Row]:
    """Parked messages of one of our queues go back to it. Needs the operator's `SC_AMQP_URL`, and no database."""
    url, ca_file = operator_url()
    result = await redrive(
        url,
        ca_file,
        queue=arguments.queue,
        maximum=arguments.max,
        kind=arguments.type,
        dry_run=arguments.dry_run,
        operator=getpass.getuser(),
        say=lambda line: print(line, file=sys.stderr),
    )
    return [{"queue": arguments.queue, "moved": result.moved, "kept": result.kept}]


async def run(arguments: argparse.Namespace) -> list[Row]:
    if arguments.command == "redrive":
        return await give_back(arguments)
    settings = WorkerSettings()
    configure_logging("provisioner", "WARNING", "admin")
    database = Database.from_settings(settings)
    try:
        if arguments.command == "sweep":
            return await sweep(settings, database, arguments.dry_run)
        if arguments.command == "adopt":
            return await adopt(settings, database, arguments)
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
    adopting = commands.add_parser("adopt")
    adopting.add_argument("server")
    adopting.add_argument("--machine", help="the cloud's id, when there are several")
    trusting = adopting.add_mutually_exclusive_group()
    trusting.add_argument("--host-key", help="the fingerprint that it has to show, SHA256:…")
    trusting.add_argument(
        "--rebuild", help="the server's whole name: its machine and all mail on it are deleted"
    )
    adopting.add_argument("--apply", action="store_true", help="do it; without it nothing is changed")
    redriving = commands.add_parser("redrive")
    redriving.add_argument("queue", choices=sorted({binding.queue for binding in BINDINGS}))
    redriving.add_argument("--max", type=int, default=100, help="at most this many (default 100)")
    redriving.add_argument("--type", help="only events of this type")
    redriving.add_argument("--dry-run", action="store_true", help="show, move nothing")
    return made


def main() -> None:
    try:
        rows = asyncio.run(run(parser().parse_args()))
    except NotAdoptable as error:
        sys.exit(f"not adopted: {error}")
    sys.stdout.write(as_json(rows) + "\n")


if __name__ == "__main__":
    main()
