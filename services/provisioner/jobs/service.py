"""Reading jobs, once or live."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.jobs import repository, views
from services.provisioner.models import Job
from services.provisioner.servers import repository as servers
from shared.db.database import Database
from shared.errors import NotFound
from shared.jobs import JobBatch, JobEvent, JobView
from shared.web.pagination import Page, PageRequest


async def get(session: AsyncSession, job_id: str) -> JobView:
    """Raises NotFound."""
    return (await _fold(session, await _job(session, job_id))).view()


async def of_server(session: AsyncSession, server_id: str, request: PageRequest) -> Page[JobView]:
    """Newest first. Raises NotFound."""
    if await servers.get(session, server_id) is None:
        raise NotFound
    rows = await repository.of_server(session, server_id, request.after_id, request.limit + 1)
    log = await repository.log_of_server(session, server_id, min((row.after_log for row in rows), default=0))
    folds = {
        row.id: views.folded(row, views.of_subject(row, log), await repository.ended_at(session, row))
        for row in rows
    }
    return request.page(rows, lambda row: folds[row.id].view(), lambda row: row.id)


async def batch(database: Database, workspace_id: str | None, job_id: str, after: int) -> JobBatch:
    """What happened after row `after`. The job as it ended comes last, also to a client that saw all its steps."""
    async with database.transaction(workspace_id=workspace_id) as session:
        job = await _job(session, job_id)
        rows = await repository.log_of(session, job)
        ended_at = await repository.ended_at(session, job)
    fold = views.Fold(job)
    events: list[JobEvent] = []
    state = fold.state
    for row in rows:
        view = fold.add(row)
        if view is None:
            continue
        if row.id > after:
            events.append(JobEvent(row.id, view))
            if fold.state != state and fold.finished_at is None:
                events.append(JobEvent(row.id, fold.view()))
        state = fold.state
    fold.ended_at = ended_at
    finished = fold.finished_at is not None or ended_at is not None
    if finished:
        events.append(JobEvent(max([after, *(row.id for row in rows)]), fold.view()))
    return JobBatch(events, finished)


async def _job(session: AsyncSession, job_id: str) -> Job:
    job = await repository.get(session, job_id)
    if job is None:
        raise NotFound
    return job


async def _fold(session: AsyncSession, job: Job) -> views.Fold:
    rows = await repository.log_of(session, job)
    return views.folded(job, rows, await repository.ended_at(session, job))
