"""The sweeper's rows in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import ARRAY, ColumnElement, Text, any_, case, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.drift import notice
from services.provisioner.models import CloudResource, Condition, SweepFinding
from services.provisioner.ports import CloudInstance
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.strangers import MADE_BEFORE
from services.provisioner.sweeper import NEEDED_SIGHTINGS, OPEN, Sighting
from shared.db.database import Database
from shared.ids import new_id

_LOCK_KEY = 0x5C_05EE


class PostgresFindings:
    """The sweeper's `Findings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[bool]:
        """Holds an advisory lock for the length of a transaction that does nothing else."""
        async with self._database.transaction() as session:
            yield bool(await session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))))

    async def notice(self, zone: str, instances: Sequence[CloudInstance]) -> Sequence[str]:
        async with self._database.transaction() as session:
            return await notice(session, zone, instances)

    async def unowned(self, seen: Sequence[Sighting]) -> list[Sighting]:
        async with self._database.transaction() as session:
            return await _without_owner(session, seen)

    async def note(self, unowned: Sequence[Sighting], zones: Sequence[str]) -> None:
        again = SweepFinding.state.in_(OPEN)
        async with self._database.transaction() as session:
            for one in unowned:
                await session.execute(
                    insert(SweepFinding)
                    .values(
                        id=new_id("swp"), kind=one.kind, zone=one.zone, external_id=one.id,
                        tags=list(one.tags), state="seen", seen=1,
                    )
                    .on_conflict_do_update(
                        index_elements=[SweepFinding.kind, SweepFinding.external_id],
                        set_={
                            # What was cleared or deleted, and is there again, is judged anew.
                            "seen": case((again, SweepFinding.seen + 1), else_=1),
                            "first_seen_at": case((again, SweepFinding.first_seen_at), else_=func.now()),
                            "state": case((again, SweepFinding.state), else_="seen"),
                            "last_seen_at": func.now(),
                        },
                    )
                )  # fmt: skip
            present = {(one.kind, one.id) for one in unowned}
            for row in await session.scalars(
                select(SweepFinding).where(SweepFinding.state.in_(OPEN), SweepFinding.zone.in_(zones))
            ):
                if (row.kind, row.external_id) not in present:
                    row.state = "cleared"

    async def quarantine(self, older_than: float) -> list[SweepFinding]:
        old = func.now() - timedelta(seconds=older_than)
        async with self._database.transaction() as session:
            rows = list(
                await session.scalars(
                    select(SweepFinding).where(
                        SweepFinding.state == "seen",
                        SweepFinding.seen >= NEEDED_SIGHTINGS,
                        SweepFinding.first_seen_at <= old,
                        ~_of_held_server(),
                    )
                )
            )
            for row in rows:
                row.state = "quarantined"
                row.quarantined_at = await session.scalar(select(func.now()))
        return rows

    async def due(self, older_than: float, limit: int) -> list[SweepFinding]:
        old = func.now() - timedelta(seconds=older_than)
        async with self._database.transaction() as session:
            return list(
                await session.scalars(
                    select(SweepFinding)
                    .where(
                        SweepFinding.state == "quarantined",
                        SweepFinding.quarantined_at <= old,
                        ~_of_held_server(),
                    )
                    .order_by(SweepFinding.id)
                    .limit(limit)
                )
            )

    async def deleted(self, finding_id: str) -> None:
        async with self._database.transaction() as session:
            stored = await session.get_one(SweepFinding, finding_id)
            stored.state = "deleted"
            stored.deleted_at = await session.scalar(select(func.now()))

    async def open(self) -> list[SweepFinding]:
        async with self._database.transaction() as session:
            query = select(SweepFinding).where(SweepFinding.state.in_(OPEN))
            return list(await session.scalars(query.order_by(SweepFinding.id)))


def _of_held_server() -> ColumnElement[bool]:
    """It carries the tag of a server that waits for an operator, because the books have lost its machine."""
    tag = func.jsonb_build_array(literal(tags.server("")).concat(Condition.server_id))
    return (
        select(Condition.server_id)
        .where(Condition.reason == MADE_BEFORE, Condition.status == "false", SweepFinding.tags.contains(tag))
        .exists()
    )


async def _without_owner(session: AsyncSession, seen: Sequence[Sighting]) -> list[Sighting]:
    """Those that are neither bound to a row of ours nor what a try may have made whose answer is still awaited. Two
    queries, however many were seen."""
    bound = await session.execute(
        select(CloudResource.kind, CloudResource.external_id).where(
            CloudResource.external_id == any_(literal([one.id for one in seen], ARRAY(Text))),
            CloudResource.state == "bound",
        )
    )
    owned = {(kind, external_id) for kind, external_id in bound}
    left = [one for one in seen if (one.kind, one.id) not in owned]
    rows = [row_id for one in left if (row_id := tags.value(one.tags, "sc-res")) is not None]
    awaited = set(
        await session.scalars(
            select(CloudResource.id).where(
                CloudResource.id == any_(literal(rows, ARRAY(Text))),
                CloudResource.state.in_(("intent", "unknown")),
            )
        )
    )
    return [one for one in left if tags.value(one.tags, "sc-res") not in awaited]
