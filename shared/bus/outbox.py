"""Emitting: an event becomes a row of `outbox` in the business transaction; the relay publishes it later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from shared.clock import Clock, SystemClock
from shared.contracts.envelope import Envelope, EventData
from shared.db.kit_tables import outbox
from shared.ids import new_id
from shared.observability.trace import current_causation, current_traceparent

_SYSTEM_CLOCK = SystemClock()
COLUMNS = ("id", "type", "subject", "workspace_id", "aggregate_version", "headers", "body", "created_at")
"""What a new row consists of."""


async def emit(
    session: AsyncSession,
    event: EventData,
    *,
    subject: str,
    workspace_id: str | None,
    aggregate_version: int,
    clock: Clock = _SYSTEM_CLOCK,
) -> str:
    """Adds `event` to the outbox and returns its id. It will be published if, and only if, the transaction commits.

    `subject` is the id of the aggregate, `aggregate_version` its version after this change: consumers ignore
    versions older than one that they have seen.
    """
    row = row_of(
        event, subject=subject, workspace_id=workspace_id, aggregate_version=aggregate_version, clock=clock
    )
    await session.execute(
        outbox.insert().values(row).inline()  # the app role may add events but not read them back
    )
    return str(row["id"])


async def emit_all(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds what `row_of` made, in one statement."""
    if rows:
        await session.execute(outbox.insert().values(list(rows)).inline())


def row_of(
    event: EventData,
    *,
    subject: str,
    workspace_id: str | None,
    aggregate_version: int,
    clock: Clock = _SYSTEM_CLOCK,
) -> dict[str, Any]:
    """The row of `outbox` that `emit` adds, for a statement that adds others with it."""
    if type(event).__dict__.get("type") is None:
        raise TypeError(f"{type(event).__name__} has no event type of its own")
    envelope = Envelope(
        id=new_id("evt"),
        source=f"/{event.producer()}",
        type=event.type,
        subject=subject,
        time=clock.now(),
        workspaceid=workspace_id,
        aggregateversion=aggregate_version,
        traceparent=current_traceparent(),
        causationid=current_causation(),
        data=event.model_dump(mode="json"),
    )
    headers: dict[str, Any] = {"traceparent": envelope.traceparent} if envelope.traceparent else {}
    return {
        "id": envelope.id,
        "type": envelope.type,
        "subject": subject,
        "workspace_id": workspace_id,
        "aggregate_version": aggregate_version,
        "headers": headers,
        "body": envelope.model_dump_json(exclude_none=True).encode(),
        "created_at": envelope.time,
    }
