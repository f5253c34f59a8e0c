"""Rows of zones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import case, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.models import Nameset, RecordPlan, RecordState, Zone, ZoneProof
from shared.errors import NotFound


async def get(session: AsyncSession, zone_id: str) -> Zone:
    """Raises `NotFound` for an unknown, foreign or removed zone."""
    row = await session.get(Zone, zone_id)
    if row is None or row.state == "removed":
        raise NotFound
    return row


async def by_name(session: AsyncSession, workspace_id: str, name: str) -> Zone | None:
    query = select(Zone).where(Zone.workspace_id == workspace_id, Zone.name == name, Zone.state != "removed")
    row: Zone | None = await session.scalar(query)
    return row


async def page(session: AsyncSession, workspace_id: str, after: str | None, limit: int) -> Sequence[Zone]:
    query = select(Zone).where(Zone.workspace_id == workspace_id, Zone.state != "removed")
    if after is not None:
        query = query.where(Zone.id > after)
    return (await session.scalars(query.order_by(Zone.id).limit(limit))).all()


async def record_states(
    session: AsyncSession, zone_id: str, after: tuple[str, ...] | None, limit: int
) -> Sequence[RecordState]:
    query = select(RecordState).where(RecordState.zone_id == zone_id)
    key = tuple_(RecordState.name, RecordState.type, RecordState.server_id)
    if after is not None:
        query = query.where(key > tuple_(*after))
    ordered = query.order_by(RecordState.name, RecordState.type, RecordState.server_id)
    return (await session.scalars(ordered.limit(limit))).all()


async def wake(session: AsyncSession, zone_id: str, now: datetime) -> None:
    """Has the worker look at the zone now: prove it, carry out an approved plan, plan anew."""
    await session.execute(update(Zone).where(Zone.id == zone_id).values(due_at=now))


async def release(session: AsyncSession, seen: Zone, *, now: datetime, next_in: timedelta) -> None:
    """Gives a claimed row back; a wake-up that came meanwhile is not lost."""
    await session.execute(
        update(Zone)
        .where(Zone.id == seen.id, Zone.fence == seen.fence)
        .values(lease_until=None, due_at=case((Zone.due_at == seen.due_at, now + next_in), else_=Zone.due_at))
    )


async def held(session: AsyncSession, seen: Zone) -> Zone | None:
    """The row, locked, if the caller's lease on it still stands."""
    row = await session.get(Zone, seen.id, with_for_update=True)
    return row if row is not None and row.fence == seen.fence else None


async def workspace_zones(session: AsyncSession, workspace_id: str) -> Sequence[Zone]:
    return (await session.scalars(select(Zone).where(Zone.workspace_id == workspace_id))).all()


async def workspace_namesets(session: AsyncSession, workspace_id: str) -> Sequence[Nameset]:
    return (await session.scalars(select(Nameset).where(Nameset.workspace_id == workspace_id))).all()


async def proven_elsewhere(session: AsyncSession, zone: Zone) -> bool:
    query = select(Zone.id).where(Zone.name == zone.name, Zone.state == "proven", Zone.id != zone.id)
    return await session.scalar(query) is not None


async def forget(session: AsyncSession, workspace_id: str) -> None:
    """Removes every row of a workspace's zones."""
    for model in (RecordPlan, ZoneProof, Zone):
        await session.execute(delete(model).where(model.workspace_id == workspace_id))
