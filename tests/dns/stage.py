"""The worker over a real database and a world in memory, with a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from services.dns.models import Nameset, OwnedRecord, RecordPlan, Zone
from services.dns.wiring import Resources
from shared.bus.testing import RecordingBus
from shared.clock import FixedClock
from shared.contracts.dns_events import NamesetVerified
from shared.contracts.provisioner_events import ServerDnsDesired
from shared.db.database import Database
from shared.ids import new_id
from tests.dns.doubles import MemoryZone, World

PLATFORM_TOKEN = "platform-token"
START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@dataclass
class Stage:
    """One worker and its world. Time passes only by `pass_time`."""

    world: World
    database: Database
    clock: FixedClock
    resources: Resources
    bus: RecordingBus
    platform: MemoryZone

    async def want(self, event: ServerDnsDesired, version: int | None = None) -> None:
        """The provisioner asks for names."""
        await self.bus.deliver(event, subject=event.server_id, aggregate_version=version or event.generation)

    async def work(self, turns: int = 6, step: float = 1.0) -> None:
        """Lets everything that is due run, turn by turn."""
        for _ in range(turns):
            await self.resources.zones.drain()
            await self.resources.namesets.drain()
            await self.resources.finish_workspaces()
            self.clock.advance(timedelta(seconds=step))

    async def verified(self, server_id: str) -> list[NamesetVerified]:
        return [event for event in await self.bus.emitted(NamesetVerified) if event.server_id == server_id]

    async def last(self, server_id: str) -> NamesetVerified:
        return (await self.verified(server_id))[-1]

    async def owned(self, **where: Any) -> list[OwnedRecord]:
        async with self.database.transaction() as session:
            return list(await session.scalars(select(OwnedRecord).filter_by(**where)))

    async def nameset(self, server_id: str) -> Nameset:
        async with self.database.transaction() as session:
            return await session.get_one(Nameset, server_id)

    async def zone(self, zone_id: str) -> Zone:
        async with self.database.transaction() as session:
            return await session.get_one(Zone, zone_id)

    async def plans(self, zone_id: str) -> list[RecordPlan]:
        async with self.database.transaction() as session:
            query = select(RecordPlan).where(RecordPlan.zone_id == zone_id).order_by(RecordPlan.id)
            return list(await session.scalars(query))

    async def ready_plan(self, zone_id: str) -> RecordPlan:
        return next(plan for plan in reversed(await self.plans(zone_id)) if plan.state == "ready")

    async def approve(self, plan: RecordPlan, accept: list[str] | None = None) -> None:
        """What the API does when somebody applies a plan."""
        async with self.database.transaction() as session:
            row = await session.get_one(RecordPlan, plan.id)
            row.state, row.approved_by, row.accepted = "approved", "usr_1", accept or []
            zone = await session.get_one(Zone, plan.zone_id)
            zone.due_at = self.clock.now()

    async def register(
        self, workspace_id: str, name: str, *, method: str = "token", account: str = "zone-token"
    ) -> str:
        """A zone as the API leaves it."""
        token_id = new_id("ptk")
        self.world.tokens[workspace_id, token_id] = account
        now = self.clock.now()
        zone = Zone(
            id=new_id("zon"), workspace_id=workspace_id, name=name, method=method,
            challenge=f"challenge-{workspace_id}",
            provider_token_id=token_id if method == "token" else None, state="proving", name_servers=[],
            created_at=now, due_at=now,
        )  # fmt: skip
        async with self.database.transaction() as session:
            session.add(zone)
        return zone.id
