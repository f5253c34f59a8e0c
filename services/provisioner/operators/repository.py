"""What operators look at: the fleet over all workspaces, read with the worker's role. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import (
    BillingComparison,
    BillingFinding,
    CloudLimit,
    CloudResource,
    Condition,
    Server,
    StepLog,
    SweepFinding,
    ZoneOffer,
)

Row = dict[str, Any]


async def servers(session: AsyncSession) -> list[Row]:
    """Every server that is not deleted: its wish, how far it is, who works on it."""
    query = select(Server).where(Server.deleted_at.is_(None)).order_by(Server.id)
    return [
        {
            "id": row.id,
            "workspace_id": row.workspace_id,
            "hostname": row.hostname,
            "zone": row.zone,
            "moving_to": row.moving_to,
            "desired": row.desired,
            "ever_ready": row.ever_ready,
            "generation": row.generation,
            "observed_generation": row.observed_generation,
            "boot_type": row.boot_type,
            "incarnation": row.incarnation,
            "next_at": row.next_at,
            "lease_owner": row.lease_owner,
            "lease_until": row.lease_until,
        }
        for row in await session.scalars(query)
    ]


async def stuck(session: AsyncSession) -> list[Row]:
    """Servers with a stalled step or a failing one, with the last word of the log about why and what to do."""
    query = (
        select(Condition, Server.hostname, Server.zone)
        .join(Server, Server.id == Condition.server_id)
        .where(Server.deleted_at.is_(None))
        .where(
            ((Condition.type == "Stalled") & (Condition.status == "true"))
            | ((Condition.status == "false") & (Condition.failures > 2))
        )
        .order_by(Condition.since)
    )
    return [
        {
            "server_id": row.server_id,
            "hostname": hostname,
            "zone": zone,
            "condition": row.type,
            "reason": row.reason,
            "message": row.message,
            "failures": row.failures,
            "since": row.since,
            "due_at": row.due_at,
            "last_trouble": await _last_trouble(session, row.server_id),
        }
        for row, hostname, zone in await session.execute(query)
    ]


async def _last_trouble(session: AsyncSession, server_id: str) -> Row | None:
    query = (
        select(StepLog)
        .where(StepLog.server_id == server_id, StepLog.outcome.in_(("failed", "stalled", "retrying")))
        .order_by(StepLog.id.desc())
        .limit(1)
    )
    row = await session.scalar(query)
    if row is None:
        return None
    return {
        "step": row.step,
        "outcome": row.outcome,
        "at": row.at,
        "error_class": row.error_class,
        "message": row.message,
        "next_action": row.next_action,
        "evidence": row.evidence,
    }


async def unknown(session: AsyncSession) -> list[Row]:
    """Creates that were sent, or were about to be, and whose outcome nobody knows yet."""
    query = (
        select(CloudResource, func.now())
        .where(CloudResource.state.in_(("intent", "unknown")))
        .order_by(CloudResource.intent_at)
    )
    return [
        {
            "id": row.id,
            "server_id": row.server_id,
            "zone": row.zone,
            "kind": row.kind,
            "attempt": row.attempt,
            "state": row.state,
            "intent_at": row.intent_at,
            "age_seconds": round((now - row.intent_at).total_seconds()),
        }
        for row, now in await session.execute(query)
    ]


async def unowned(session: AsyncSession) -> list[Row]:
    """What the sweeper has found at the cloud that belongs to nobody, and what became of it."""
    query = select(SweepFinding).order_by(SweepFinding.last_seen_at.desc()).limit(200)
    return [finding(row) for row in await session.scalars(query)]


def finding(row: SweepFinding) -> Row:
    return {
        "kind": row.kind,
        "zone": row.zone,
        "external_id": row.external_id,
        "state": row.state,
        "seen": row.seen,
        "first_seen_at": row.first_seen_at,
        "last_seen_at": row.last_seen_at,
        "deleted_at": row.deleted_at,
        "tags": row.tags,
    }


async def findings(session: AsyncSession) -> list[Row]:
    """In what Stripe and the servers differed: the last comparison that was finished first, then what is open."""
    last = await session.scalar(
        select(BillingComparison)
        .where(BillingComparison.finished_at.is_not(None))
        .order_by(BillingComparison.started_at.desc())
        .limit(1)
    )
    looked: Row = {
        "compared_at": last.finished_at if last else None,
        "compared": last.compared if last else 0,
    }
    query = (
        select(BillingFinding)
        .where(BillingFinding.cleared_at.is_(None))
        .order_by(BillingFinding.kind, BillingFinding.subject)
    )
    return [
        looked,
        *(
            {
                "kind": row.kind,
                "subject": row.subject,
                "workspace_id": row.workspace_id,
                "details": row.details,
                "first_seen_at": row.first_seen_at,
                "last_seen_at": row.last_seen_at,
            }
            for row in await session.scalars(query)
        ),
    ]


async def quotas(session: AsyncSession) -> list[Row]:
    """Our limits at the cloud and what is used of them, as read last."""
    query = select(CloudLimit).order_by(CloudLimit.resource)
    return [
        {
            "resource": row.resource,
            "quota": row.quota,
            "used": row.used,
            "left": None if row.quota is None else row.quota - row.used,
            "seen_at": row.seen_at,
        }
        for row in await session.scalars(query)
    ]


async def stock(session: AsyncSession) -> list[Row]:
    """What each zone has of the sizes of our plans, and what it costs us, as read last."""
    query = select(ZoneOffer).order_by(ZoneOffer.zone, ZoneOffer.commercial_type)
    return [
        {
            "zone": row.zone,
            "commercial_type": row.commercial_type,
            "availability": row.availability,
            "monthly_cents": row.monthly_cents,
            "seen_at": row.seen_at,
        }
        for row in await session.scalars(query)
    ]


QUERIES: dict[str, Callable[[AsyncSession], Awaitable[list[Row]]]] = {
    "servers": servers,
    "stuck": stuck,
    "unknown": unknown,
    "unowned": unowned,
    "findings": findings,
    "quotas": quotas,
    "stock": stock,
}
