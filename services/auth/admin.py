"""python -m services.auth.admin second-factor-off --email ADDRESS: for somebody who has lost app and recovery codes.

Only after his identity was proved as `docs/runbooks/lost-second-factor.md` says. Works as the role of
`SC_DATABASE_URL`, which has to be the API's: the worker's may not touch second factors. Ends all sessions of the
account, is on the person's record, and he gets a mail.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from services.auth.client import Client
from services.auth.second_factor import repository
from services.auth.security_events import service as security_events
from services.auth.sessions.repository import account_by_email
from services.auth.sessions.service import end_all
from shared.clock import Clock, SystemClock
from shared.db.database import Database
from shared.settings import ServiceSettings

OPERATOR = Client(device="our support, at your request")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when there is no such account, or no factor that is on."""
    parser = argparse.ArgumentParser(prog="python -m services.auth.admin", description="For operators.")
    commands = parser.add_subparsers(dest="command", required=True)
    off = commands.add_parser("second-factor-off", help="turn off the second factor of an account")
    off.add_argument("--email", required=True, metavar="ADDRESS")
    options = parser.parse_args(arguments)
    if not asyncio.run(_second_factor_off(options.email)):
        print(f"no account of {options.email} has a second factor", file=sys.stderr)
        return 1
    print(f"the second factor of {options.email} is off")
    return 0


async def _second_factor_off(email: str) -> bool:
    database = Database.from_settings(ServiceSettings())
    try:
        return await second_factor_off(database, SystemClock(), email)
    finally:
        await database.dispose()


async def second_factor_off(database: Database, clock: Clock, email: str) -> bool:
    """False when there was nothing to turn off."""
    async with database.transaction() as session:
        account = await account_by_email(session, email.strip().lower())
    if account is None:
        return False
    async with database.transaction(account_id=account.id) as session:
        await repository.lock_account(session, account.id, exclusive=True)
        factor = await repository.second_factor(session, account.id)
        if factor is None or factor.confirmed_at is None:
            return False
        now = clock.now()
        await repository.forget(session, account.id)
        await end_all(session, account.id, now, "second factor turned off by an operator")
        security_events.record(session, account.id, "second_factor_off", client=OPERATOR, now=now)
    return True


if __name__ == "__main__":
    sys.exit(main())
