"""Recording who did what: a hash-chained row in the business transaction, and an event for auth's log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Insert, Table, bindparam, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit.chain import GENESIS, row_hash
from shared.bus import outbox
from shared.clock import Clock, SystemClock
from shared.contracts.audit import AuditRecorded, Outcome
from shared.contracts.envelope import EVENT_TYPES
from shared.db.kit_tables import audit_entry, audit_head
from shared.db.kit_tables import outbox as outbox_rows
from shared.identity.model import Identity
from shared.ids import new_id

_SYSTEM_CLOCK = SystemClock()


def _append() -> Insert:
    """Row, head and event in one statement: each attempt at a secret pays for the ways to the database."""

    def values(table: Table, prefix: str, names: Iterable[str]) -> dict[str, Any]:
        return {name: bindparam(f"{prefix}_{name}", type_=table.c[name].type) for name in names}

    entry = audit_entry.insert().values(values(audit_entry, "entry", audit_entry.c.keys())).inline()
    head = (
        audit_head.update()
        .where(audit_head.c.workspace_id == bindparam("entry_workspace_id"))
        .values(sequence=bindparam("entry_sequence"), row_hash=bindparam("entry_row_hash"))
    )
    told = outbox_rows.insert().values(values(outbox_rows, "told", outbox.COLUMNS)).inline()
    return told.add_cte(entry.cte("entry"), head.cte("head"))


_APPEND = _append()
_HEAD = (
    select(audit_head.c.row_hash, audit_head.c.sequence)
    .where(audit_head.c.workspace_id == bindparam("workspace_id"))
    .with_for_update()
)


async def record(
    session: AsyncSession,
    *,
    workspace_id: str,
    actor: Identity | str,
    action: str,
    target: str,
    outcome: Outcome = "ok",
    reason: str | None = None,
    data: Mapping[str, Any] | None = None,
    clock: Clock = _SYSTEM_CLOCK,
) -> str:
    """Appends to the chain of `workspace_id` and returns the id of the row.

    `actor` is the caller's identity, or the name of what acts by itself. `action` begins with the service's name
    (`vault.export.redeemed`), which decides the event type. `data` holds references, never a secret. Writers of one
    workspace wait for each other until commit.
    """
    service = action.split(".", 1)[0]
    kind = EVENT_TYPES.get(f"{service}.audit.recorded.v1")
    if kind is None or not issubclass(kind, AuditRecorded):
        raise ValueError(f"no service publishes audit rows for {action!r}")
    previous, sequence = await _lock_head(session, workspace_id)
    row: dict[str, Any] = {
        "id": new_id("aud"),
        "workspace_id": workspace_id,
        "sequence": sequence + 1,
        "at": clock.now(),
        "actor_kind": actor.kind if isinstance(actor, Identity) else "system",
        "actor_id": actor.subject if isinstance(actor, Identity) else actor,
        "action": action,
        "target": target,
        "outcome": outcome,
        "reason": reason,
        "data": dict(data or {}),
    }
    digest = row_hash(previous, row)
    event = kind(audit_id=row["id"], row_hash=digest.hex(), **{k: v for k, v in row.items() if k != "id"})
    told = outbox.row_of(
        event,
        subject=row["id"],
        workspace_id=workspace_id,
        aggregate_version=row["sequence"],
        clock=clock,
    )
    entry = row | {"previous_hash": previous, "row_hash": digest}
    await session.execute(
        _APPEND,
        {f"entry_{name}": value for name, value in entry.items()}
        | {f"told_{name}": value for name, value in told.items()},
    )
    return str(row["id"])


async def _lock_head(session: AsyncSession, workspace_id: str) -> tuple[bytes, int]:
    """Hash and sequence of the last row, locked until commit; begins the chain when there is none."""
    row = (await session.execute(_HEAD, {"workspace_id": workspace_id})).one_or_none()
    if row is None:
        first = insert(audit_head).values(workspace_id=workspace_id, sequence=0, row_hash=GENESIS)
        await session.execute(first.on_conflict_do_nothing())
        row = (await session.execute(_HEAD, {"workspace_id": workspace_id})).one()
    return bytes(row.row_hash), int(row.sequence)
