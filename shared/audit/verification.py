"""Whether the audit rows in a database are those that were written: chains recomputed, held against checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from shared.audit.chain import Chain
from shared.audit.checkpoints import Checkpoint, Head
from shared.db.kit_tables import audit_entry, audit_head

ROWS_AT_ONCE = 500

Finding = Literal["row_changed", "rows_removed", "chain_rewritten", "head_differs"]


@dataclass(frozen=True)
class Tampered:
    """`sequence` is the first row of the workspace that is not what it was.

    row_changed      the row does not follow from the one before: changed, removed or put in
    rows_removed     the chain ends before a row that a checkpoint has seen
    chain_rewritten  the chain follows from itself, but a checkpoint has seen another row here
    head_differs     the chain is whole, but is not what the next row would be chained to
    """

    workspace_id: str
    finding: Finding
    sequence: int


@dataclass
class Verified:
    workspaces: int = 0
    rows: int = 0
    checkpointed_rows: int = 0
    tampered: list[Tampered] = field(default_factory=list)


async def verify(engine: AsyncEngine, checkpoints: Iterable[Checkpoint]) -> Verified:
    """All workspaces that the database or a checkpoint knows. `engine` connects as a role that sees them all.

    One snapshot, or a chain that grows meanwhile would seem to differ from its head.
    """
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    async with AsyncSession(snapshot) as session:
        return await _verify_all(session, checkpoints)


async def _verify_all(session: AsyncSession, checkpoints: Iterable[Checkpoint]) -> Verified:
    marks = marks_by_workspace(checkpoints)
    heads = {
        row.workspace_id: Head(row.workspace_id, row.sequence, bytes(row.row_hash))
        for row in await session.execute(select(audit_head))
    }
    known = {*marks, *heads, *await session.scalars(select(audit_entry.c.workspace_id).distinct())}
    result = Verified(workspaces=len(known))
    for workspace_id in sorted(known):
        own = marks.get(workspace_id, {})
        found = await _verify_one(session, workspace_id, own, heads.get(workspace_id), result)
        if found is not None:
            result.tampered.append(found)
        result.checkpointed_rows += max(own, default=0)
    return result


def marks_by_workspace(checkpoints: Iterable[Checkpoint]) -> dict[str, dict[int, bytes]]:
    """Workspace → sequence → row hash."""
    marks: dict[str, dict[int, bytes]] = {}
    for checkpoint in checkpoints:
        for head in checkpoint.heads:
            marks.setdefault(head.workspace_id, {}).setdefault(head.sequence, head.row_hash)
    return marks


async def _verify_one(
    session: AsyncSession, workspace_id: str, marks: Mapping[int, bytes], head: Head | None, result: Verified
) -> Tampered | None:
    chain = Chain()
    rows = await session.stream(
        select(audit_entry)
        .where(audit_entry.c.workspace_id == workspace_id)
        .order_by(audit_entry.c.sequence)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    async for row in rows:
        result.rows += 1
        if not chain.accepts(dict(row._mapping)):
            await rows.close()
            return Tampered(workspace_id, "row_changed", chain.sequence + 1)
        if marks.get(chain.sequence, chain.last_hash) != chain.last_hash:
            await rows.close()
            return Tampered(workspace_id, "chain_rewritten", chain.sequence)
    if chain.sequence < max(marks, default=0):
        return Tampered(workspace_id, "rows_removed", chain.sequence + 1)
    if head is None or (head.sequence, head.row_hash) != (chain.sequence, chain.last_hash):
        return Tampered(workspace_id, "head_differs", chain.sequence + 1)
    return None
