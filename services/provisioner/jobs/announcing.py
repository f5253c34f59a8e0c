"""Changes of a job's steps, told to others as they are written: the same fold that poll and stream read."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.jobs import repository
from services.provisioner.jobs.views import Fold
from services.provisioner.models import Job, StepLog
from shared.bus import outbox
from shared.contracts.provisioner_events import JobStepChanged
from shared.jobs import StepView


async def announce(session: AsyncSession, rows: Sequence[StepLog]) -> None:
    """Emits each change of a step's state that these new rows of one server make. Rows that tell only more of the same
    state, and rows after a job's end, are nobody's news."""
    for subject_id in dict.fromkeys(row.subject_id for row in rows):
        new = {row.id for row in rows if row.subject_id == subject_id}
        job = await repository.newest(session, rows[0].server_id, subject_id, before_log=min(new))
        for number, event in [] if job is None else await _changes(session, job, new):
            await outbox.emit(
                session,
                event,
                subject=event.job_id,
                workspace_id=event.workspace_id,
                aggregate_version=number,
            )


async def _changes(session: AsyncSession, job: Job, new: set[int]) -> list[tuple[int, JobStepChanged]]:
    """(number of the row, event), in order."""
    found: list[tuple[int, JobStepChanged]] = []
    fold, ended_at = Fold(job), await repository.ended_at(session, job)
    async for row in repository.each_of(session, job):
        if fold.finished_at is not None or (ended_at is not None and row.at > ended_at):
            break
        before = fold.steps.get(row.step)
        after = fold.add(row)
        if row.id in new and before is not None and after is not None and after.state != before.state:
            found.append((row.id, _event(fold, after)))
    return found


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
