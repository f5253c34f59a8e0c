"""One turn of the worker's mail, as a process of its own that a test can kill in the middle (`SC_CRASHPOINT`).

Reads on standard input, as JSON: `database_url`, `mail_key`, `resend_url`, `ca_file`, `now` (what time it is for it).
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from services.auth.mail_links import MailLinkSigner
from services.auth.notifications.service import send_due
from services.auth.providers.resend import ResendMailer
from services.auth.wiring import WorkerResources
from shared.clock import FixedClock
from shared.db.database import Database
from shared.http import vendor_client

API_KEY = "re_crash"
SENDER = "SendChief <hello@sendchief.test>"


async def main() -> None:
    told = json.load(sys.stdin)
    clock = FixedClock(datetime.fromisoformat(told["now"]))
    database = Database(told["database_url"])
    client = vendor_client(told["resend_url"], Path(told["ca_file"]))
    resources = WorkerResources(
        database=database,
        clock=clock,
        mailer=ResendMailer(client, SecretStr(API_KEY), SENDER),
        links=MailLinkSigner(told["mail_key"], clock),
        public_url="https://sendchief.test",
    )
    while await send_due(resources):
        pass
    await resources.aclose()
    await database.dispose()


if __name__ == "__main__":
    asyncio.run(main())
