"""A workspace ends in two steps: its names are withdrawn and we say so; later its rows are removed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.models import WorkspaceDeletion
from services.dns.servers import repository as servers
from services.dns.workspaces import repository
from services.dns.zones import repository as zones
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.dns_events import WorkspaceEmptied, ZoneRemoved
from shared.db.database import Database


async def request(session: AsyncSession, workspace_id: str, now: datetime) -> None:
    """From now on nothing new is published for the workspace; the servers' own withdrawals empty it."""
    await repository.note_request(session, WorkspaceDeletion(workspace_id=workspace_id, requested_at=now))


async def finish_emptied(database: Database, clock: Clock) -> None:
    """Says of each ending workspace, once, that no record of ours is left for it."""
    async with database.transaction() as session:
        waiting = await repository.unfinished(session)
    for workspace_id in waiting:
        async with database.transaction() as session:
            row = await repository.locked(session, workspace_id)
            if row is not None and await repository.is_empty(session, workspace_id):
                row.emptied_at = clock.now()
                await _close(session, workspace_id)


async def _close(session: AsyncSession, workspace_id: str) -> None:
    for zone in await repository.present_zones(session, workspace_id):
        zone.state = "removed"
        zone.version += 1
        zone.fence += 1  # a pass that is at work on it stores nothing any more
        event = ZoneRemoved(workspace_id=workspace_id, zone_id=zone.id, name=zone.name)
        await outbox.emit(
            session, event, subject=zone.id, workspace_id=workspace_id, aggregate_version=zone.version
        )
    await outbox.emit(
        session,
        WorkspaceEmptied(workspace_id=workspace_id),
        subject=workspace_id,
        workspace_id=workspace_id,
        aggregate_version=1,
    )


async def forget(session: AsyncSession, workspace_id: str, now: datetime) -> None:
    """Removes the workspace's rows. The note of its end stays, so that nothing late is published."""
    await repository.note_request(session, WorkspaceDeletion(workspace_id=workspace_id, requested_at=now))
    row = await repository.locked(session, workspace_id)
    if row is not None:
        row.emptied_at = now
    await servers.forget(session, workspace_id)
    await zones.forget(session, workspace_id)
