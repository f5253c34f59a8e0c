"""Which records are ours: the rows that remember it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.models import OwnedRecord, WriteIntent
from services.dns.records.model import Owned


@dataclass(frozen=True, slots=True)
class Target:
    """Where records are written, and for whom. `server_id` narrows what is ours to one server's records."""

    workspace_id: str
    zone_id: str
    provider_zone_id: str
    server_id: str | None = None
    plan_id: str | None = None


async def owned_in(session: AsyncSession, target: Target) -> list[Owned]:
    """Our records in the target's zone; of one server only, when the target names one."""
    return [as_owned(row) for row in await session.scalars(owned_rows(target))]


def owned_rows(target: Target) -> Select[OwnedRecord]:
    query = select(OwnedRecord).where(
        OwnedRecord.zone_id == target.zone_id, OwnedRecord.provider_zone_id == target.provider_zone_id
    )
    return query if target.server_id is None else query.where(OwnedRecord.server_id == target.server_id)


def as_owned(row: OwnedRecord) -> Owned:
    return Owned(
        provider_record_id=row.provider_record_id,
        name=row.name,
        type=row.type,
        value=row.value,
        purpose=row.purpose,
        server_id=row.server_id,
        domain_id=row.domain_id,
        comment=row.comment,
        merged=row.merged,
    )


async def mark_all_missing(session: AsyncSession, target: Target, now: datetime) -> None:
    """The zone itself is gone from the account, and with it what was in it."""
    for row in await session.scalars(owned_rows(target)):
        row.missing_since = row.missing_since or now


async def outcome_unknown(session: AsyncSession, plan_id: str, since: datetime) -> bool:
    """Whether the batch of this plan was sent after `since` and nobody knows yet what became of it."""
    query = select(WriteIntent.id).where(WriteIntent.plan_id == plan_id, WriteIntent.created_at > since)
    return await session.scalar(query) is not None


async def drop_owned(session: AsyncSession, target: Target, items: Sequence[Owned]) -> None:
    """Forgets records that are no longer ours: removed, or taken over by the zone's owner."""
    for item in items:
        await session.execute(
            delete(OwnedRecord).where(
                OwnedRecord.provider_zone_id == target.provider_zone_id,
                OwnedRecord.provider_record_id == item.provider_record_id,
                OwnedRecord.server_id == item.server_id,
            )
        )
