"""The watch: asks the lists again about living servers' addresses, and about fresh ones whose lists were silent."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.reputation.checks.checker import ALL_TIERS
from services.reputation.checks.repository import Repository
from services.reputation.checks.service import Checks, due_tiers
from services.reputation.models import Address
from services.reputation.wiring import Resources
from shared.db.database import Database

BATCH = 10
LEASE = timedelta(seconds=60)
KEEP_CHECKS = timedelta(days=30)


class Monitor:
    """`tick` does what is due now. No transaction is open while the lists are asked."""

    def __init__(self, database: Database, resources: Resources) -> None:
        self._database = database
        self._resources = resources

    async def tick(self) -> None:
        now = self._resources.clock.now()
        async with self._database.transaction() as session:
            due = await Repository(session).claim_due(now, now + LEASE, BATCH)
        await asyncio.gather(*(self._round(address) for address in due))

    async def _round(self, address: Address) -> None:
        if address.state == "live":
            async with self._database.transaction() as session:
                rows = await Repository(session).open_listings(address.id)
            tiers = due_tiers(address.rounds, frozenset(row.tier for row in rows.values()))
        else:
            tiers = ALL_TIERS
        results = await self._resources.checker.check(address.address, tiers)
        async with self._database.transaction(address.workspace_id) as session:
            present = await Repository(session).locked(address.id)
            if present is None or present.state != address.state:
                return
            checks = Checks(session, self._resources.clock, self._resources.pace)
            if present.state == "live":
                await checks.record_live(present, results)
            elif present.next_check_at is not None:
                await checks.record_candidate(present, results)

    async def forget(self) -> None:
        """Removes checks older than a month."""
        async with self._database.transaction() as session:
            await Repository(session).forget_checks_before(self._resources.clock.now() - KEEP_CHECKS)
