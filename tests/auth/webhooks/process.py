"""One turn of the worker's webhooks, as a process of its own that a test can kill in the middle (`SC_CRASHPOINT`).

Reads on standard input, as JSON: `database_url`, `webhook_key`, `ca_file`, `port`, `now` (what time it is for it).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from pydantic import SecretStr

from services.auth.sealing import Sealing
from services.auth.webhooks.delivery import Deliveries
from services.auth.webhooks.service import Webhooks
from shared.clock import FixedClock
from shared.db.database import Database
from shared.http.public import PublicClient, Unreachable
from shared.special_use import REFUSED_NETWORKS, IPAddress, without

NETWORKS = without(REFUSED_NETWORKS, "127.0.0.1/32")
"""What a test refuses: all but the one address that its receivers listen at."""


@dataclass
class Names:
    """A resolver: every name is here, but those that are said to be elsewhere."""

    elsewhere: dict[str, str] = field(default_factory=dict)

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        address = self.elsewhere.get(host, "127.0.0.1")
        if not address:
            raise Unreachable("the name does not exist")
        return [ip_address(address)]


async def main() -> None:
    told = json.load(sys.stdin)
    clock = FixedClock(datetime.fromisoformat(told["now"]))
    database = Database(told["database_url"])
    client = PublicClient(Names(), refused_networks=NETWORKS, ca_file=Path(told["ca_file"]), timeout=10.0)
    webhooks = Webhooks(clock, Sealing("webhook", SecretStr(told["webhook_key"])), (told["port"],))
    await Deliveries(database, webhooks, client).drain()
    await database.dispose()


if __name__ == "__main__":
    asyncio.run(main())
