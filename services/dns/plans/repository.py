"""Rows of plans."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.models import RecordPlan

APPROVED = ("approved", "applied", "failed", "stale")


async def ready(session: AsyncSession, zone_id: str) -> RecordPlan | None:
    query = select(RecordPlan).where(RecordPlan.zone_id == zone_id, RecordPlan.state == "ready")
    row: RecordPlan | None = await session.scalar(query)
    return row


async def in_zone(session: AsyncSession, zone_id: str, plan_id: str) -> RecordPlan | None:
    row = await session.get(RecordPlan, plan_id)
    return row if row is not None and row.zone_id == zone_id else None


async def last_approved(session: AsyncSession, zone_id: str) -> RecordPlan | None:
    """The plan that was approved last: on its way, applied, failed or found stale."""
    query = select(RecordPlan).where(
        RecordPlan.zone_id == zone_id, RecordPlan.state.in_(APPROVED), RecordPlan.approved_by.is_not(None)
    )
    row: RecordPlan | None = await session.scalar(query.order_by(RecordPlan.id.desc()).limit(1))
    return row


async def approved(session: AsyncSession, zone_id: str) -> RecordPlan | None:
    """The plan that waits for the worker."""
    query = select(RecordPlan).where(RecordPlan.zone_id == zone_id, RecordPlan.state == "approved")
    row: RecordPlan | None = await session.scalar(query.order_by(RecordPlan.id).limit(1))
    return row


async def approve(session: AsyncSession, plan_id: str, accepted: list[str], by: str) -> bool:
    """True for the one caller who turned the ready plan into an approved one."""
    result = await session.execute(
        update(RecordPlan)
        .where(RecordPlan.id == plan_id, RecordPlan.state == "ready")
        .values(state="approved", accepted=accepted, approved_by=by)
    )
    return bool(cast("CursorResult[Any]", result).rowcount)
