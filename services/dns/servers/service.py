"""Taking in what a server wants, and showing what is true of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.desired import NameRules, problem_with
from services.dns.models import Nameset, WorkspaceDeletion
from services.dns.servers import repository
from services.dns.servers.schemas import NamesView, names_view
from shared.bus.errors import Permanent
from shared.contracts.provisioner_events import ServerDnsDesired
from shared.observability.logging import get_logger

_log = get_logger("servers")


async def accept(
    session: AsyncSession, event: ServerDnsDesired, *, version: int, rules: NameRules, now: datetime
) -> None:
    """Makes `event` the desired state, unless a newer one is known. Nothing is published for a workspace that is
    being deleted, whatever arrives late."""
    ending = await session.get(WorkspaceDeletion, event.workspace_id) is not None
    withdrawn = event.withdrawn or ending
    row = await session.get(Nameset, event.server_id, with_for_update=True)
    if row is None:
        row = await _begin(session, event, withdrawn, now)
    elif row.workspace_id != event.workspace_id:
        raise Permanent(f"{event.server_id} belongs to another workspace")
    elif (event.generation, version) <= (row.generation, row.aggregate_version) or (
        row.gone and not withdrawn
    ):
        return
    problem = None if withdrawn else problem_with(event, rules) or await _taken(session, event)
    row.problem = problem
    if problem is None:
        row.hostname = event.hostname
    else:
        _log.error("names refused", server_id=event.server_id, problem=problem)
    row.generation, row.aggregate_version, row.withdrawn = event.generation, version, withdrawn
    row.desired = event.model_dump(mode="json")
    row.gone = False
    row.due_at = row.pending_since = now
    await repository.wake_zones(session, event.workspace_id, now)


async def _begin(session: AsyncSession, event: ServerDnsDesired, withdrawn: bool, now: datetime) -> Nameset:
    row = Nameset(
        server_id=event.server_id,
        workspace_id=event.workspace_id,
        generation=event.generation,
        aggregate_version=0,
        # The host name belongs to the row only after it was checked; until then a name nobody can ask for.
        hostname=f"{event.server_id}.invalid",
        withdrawn=withdrawn,
        desired={},
        emitted={},
        written_generation=0,
        version=0,
        fence=0,
        pending_since=now,
        due_at=now,
    )
    session.add(row)
    return row


async def _taken(session: AsyncSession, event: ServerDnsDesired) -> str | None:
    query = (
        select(func.count())
        .select_from(Nameset)
        .where(
            Nameset.hostname == event.hostname, Nameset.server_id != event.server_id, Nameset.gone.is_(False)
        )
    )
    return f"{event.hostname} belongs to another server." if await session.scalar(query) else None


async def names(session: AsyncSession, server_id: str) -> NamesView:
    row = await repository.get(session, server_id)
    return names_view(row, await repository.states_of(session, server_id))
