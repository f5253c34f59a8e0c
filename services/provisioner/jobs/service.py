"""Reading jobs, once or live."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.jobs import repository, timings, views
from services.provisioner.models import Job, Server
from services.provisioner.servers import repository as servers
from shared.db.database import Database
from shared.errors import NotFound
from shared.jobs import JobBatch, JobEvent, JobView
from shared.web.pagination import Page, PageRequest


async def get(session: AsyncSession, job_id: str, now: datetime) -> JobView:
    """Raises NotFound."""
    job = await _job(session, job_id)
    known = await timings.of_kinds(session, [job.kind], await _image(session, job))
    return timings.expect((await _fold(session, job)).view(), known.get(job.kind, {}), now)


async def of_server(
    session: AsyncSession, server_id: str, request: PageRequest, now: datetime
) -> Page[JobView]:
    """Newest first. Raises NotFound."""
    server = await servers.get(session, server_id)
    if server is None:
        raise NotFound
    rows = await repository.of_server(session, server_id, request.after_id, request.limit + 1)
    log = await repository.log_of_server(session, server_id, min((row.after_log for row in rows), default=0))
    folds = {
        row.id: views.folded(row, views.of_subject(row, log), await repository.ended_at(session, row))
        for row in rows
    }
    known = await timings.of_kinds(session, {row.kind for row in rows}, server.image)
    return request.page(
        rows,
        lambda row: timings.expect(folds[row.id].view(), known.get(row.kind, {}), now),
        lambda row: row.id,
    )


async def batch(database: Database, workspace_id: str | None, job_id: str, after: int) -> JobBatch:
    """What happened after row `after`. The job as it ended comes last, also to a client that saw all its steps."""
    async with database.transaction(workspace_id=workspace_id) as session:
        job = await _job(session, job_id)
        rows = await repository.log_of(session, job)
        ended_at = await repository.ended_at(session, job)
        known = (await timings.of_kinds(session, [job.kind], await _image(session, job))).get(job.kind, {})
    fold = views.Fold(job)
    events: list[JobEvent] = []
    state = fold.state
    for row in views.until(rows, ended_at):
        view = fold.add(row)
        if view is None:
            continue
        if row.id > after:
            events.append(JobEvent(row.id, view))
            if fold.state != state and fold.finished_at is None:
                events.append(JobEvent(row.id, timings.expect(fold.view(), known, row.at)))
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


async def _image(session: AsyncSession, job: Job) -> str | None:
    image: str | None = await session.scalar(select(Server.image).where(Server.id == job.server_id))
    return image


async def _fold(session: AsyncSession, job: Job) -> views.Fold:
    rows = await repository.log_of(session, job)
    return views.folded(job, rows, await repository.ended_at(session, job))
