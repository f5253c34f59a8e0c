"""Changes of a job's steps, told to others as they are written: the same fold that poll and stream read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.jobs import repository
from services.provisioner.jobs.views import Fold
from services.provisioner.models import Job, Server, StepLog
from shared.bus import outbox
from shared.contracts.provisioner_events import JobStepChanged
from shared.db.kit_tables import outbox as outbox_table
from shared.jobs import StepView


@dataclass
class _Told:
    """One job after all rows of the log so far, as it was known at the server's `wakes`; no fold: there is none."""

    fold: Fold | None
    ended_at: datetime | None
    wakes: int


class Story:
    """What a worker tells of one server's jobs while it holds the lease. Nobody else adds to the step log then, so a
    job's rows are read once; and whoever begins a job wakes the server, so jobs are asked for again only then."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    async def announce(self, session: AsyncSession, server: Server, rows: Sequence[StepLog]) -> None:
        """Emits each change of a step's state that these new rows make. Rows that tell only more of the same state,
        and rows after a job's end, are nobody's news."""
        events: list[dict[str, Any]] = []
        for subject_id in dict.fromkeys(row.subject_id for row in rows):
            new = [row for row in rows if row.subject_id == subject_id]
            told = await self._of(session, server, subject_id, new[0].id)
            events += [_row(number, event) for number, event in _changes(told, new)]
        if events:
            await session.execute(outbox_table.insert().values(events).inline())

    async def _of(self, session: AsyncSession, server: Server, subject_id: str, before: int) -> _Told:
        told = self._told.get(subject_id)
        if told is not None and told.wakes == server.wakes:
            return told
        job = await repository.newest(session, server.id, subject_id, before_log=before)
        known = _Told(None, None, server.wakes)
        if job is not None:
            known.ended_at = await repository.ended_at(session, job)
            known.fold = await _folded(session, job, known.ended_at, before)
        self._told[subject_id] = known
        return known


async def _folded(session: AsyncSession, job: Job, ended_at: datetime | None, before: int) -> Fold:
    """The job after its rows before that one, as far as they are of interest."""
    fold = Fold(job)
    async for row in repository.each_of(session, job):
        if row.id >= before or fold.finished_at is not None or (ended_at is not None and row.at > ended_at):
            break
        fold.add(row)
    return fold


def _changes(told: _Told, rows: Sequence[StepLog]) -> list[tuple[int, JobStepChanged]]:
    """(number of the row, event), in order."""
    found: list[tuple[int, JobStepChanged]] = []
    fold = told.fold
    if fold is None:
        return found
    for row in rows:
        if fold.finished_at is not None or (told.ended_at is not None and row.at > told.ended_at):
            break
        before = fold.steps.get(row.step)
        after = fold.add(row)
        if before is not None and after is not None and after.state != before.state:
            found.append((row.id, _event(fold, after)))
    return found


def _row(number: int, event: JobStepChanged) -> dict[str, Any]:
    return outbox.row_of(
        event, subject=event.job_id, workspace_id=event.workspace_id, aggregate_version=number
    )


def _event(fold: Fold, step: StepView) -> JobStepChanged:
    return JobStepChanged(
        workspace_id=fold.job.workspace_id,
        server_id=fold.job.server_id,
        job_id=fold.job.id,
        kind=fold.job.kind,
        subject_id=fold.job.subject_id,
        job_state=fold.state,
        step=step.name,
        title=step.title,
        state=step.state,
        attempt=step.attempt,
        started_at=step.started_at,
        ended_at=step.ended_at,
    )
