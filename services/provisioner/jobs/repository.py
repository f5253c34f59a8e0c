"""Rows behind jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Job, Server, StepLog
from shared.ids import new_id

ENDED_BY = {
    "provision": ("cancel",),
    "add_domain": ("remove_domain",),
    "move_domain": ("remove_domain", "return_domain"),
    "return_domain": ("remove_domain", "move_domain"),
    "add_mailbox": ("remove_mailbox",),
    "reboot": ("rebuild", "rescue"),
    "rescue": ("rebuild", "reboot"),
    "change_credentials": ("remove_mailbox",),
    "end_webmail": ("remove_mailbox",),
}


async def begin(
    session: AsyncSession,
    server: Server,
    *,
    kind: str,
    subject_id: str,
    requested_by: str,
    job_id: str | None = None,
) -> Job:
    """Names the stretch of the step log that begins now; `job_id` when somebody else has named it already."""
    last = await session.scalar(
        select(func.coalesce(func.max(StepLog.id), 0)).where(StepLog.server_id == server.id)
    )
    job = Job(
        id=job_id or new_id("job"),
        workspace_id=server.workspace_id,
        server_id=server.id,
        subject_id=subject_id,
        kind=kind,
        generation=server.generation,
        after_log=last or 0,
        requested_by=requested_by,
    )
    session.add(job)
    await session.flush()
    await session.refresh(job, ["created_at"])
    return job


async def get(session: AsyncSession, job_id: str) -> Job | None:
    return await session.get(Job, job_id)


async def of_server(session: AsyncSession, server_id: str, after: str | None, limit: int) -> Sequence[Job]:
    """Newest first."""
    query = select(Job).where(Job.server_id == server_id).order_by(Job.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Job.id < after)
    return (await session.scalars(query)).all()


async def newest(session: AsyncSession, server_id: str, subject_id: str, *, before_log: int) -> Job | None:
    """The job of the subject that a row of this number is of, if it is of one."""
    query = (
        select(Job)
        .where(Job.server_id == server_id, Job.subject_id == subject_id, Job.after_log < before_log)
        .order_by(Job.id.desc())
        .limit(1)
    )
    found: Job | None = await session.scalar(query)
    return found


async def each_of(session: AsyncSession, job: Job) -> AsyncIterator[StepLog]:
    """The job's rows in order, read as far as somebody wants to know: the log of a server goes on after its jobs."""
    query = (
        select(StepLog)
        .where(StepLog.server_id == job.server_id, StepLog.id > job.after_log)
        .where(StepLog.subject_id == job.subject_id)
        .order_by(StepLog.id)
    )
    rows = await session.stream_scalars(query, execution_options={"yield_per": 100})
    try:
        async for row in rows:
            yield row
    finally:
        await rows.close()


async def log_of(session: AsyncSession, job: Job) -> Sequence[StepLog]:
    """The job's rows, in order."""
    query = (
        select(StepLog)
        .where(StepLog.server_id == job.server_id, StepLog.id > job.after_log)
        .where(StepLog.subject_id == job.subject_id)
        .order_by(StepLog.id)
    )
    return (await session.scalars(query)).all()


async def ended_at(session: AsyncSession, job: Job) -> datetime | None:
    """When a later order of the same subject, or the end of the server, made this job pointless."""
    kinds = ENDED_BY.get(job.kind, ())
    same = and_(Job.subject_id == job.subject_id, Job.kind.in_(kinds))
    ending = and_(Job.subject_id == job.server_id, Job.kind == "cancel")
    query = select(func.min(Job.created_at)).where(Job.id > job.id, or_(same, ending))
    moment: datetime | None = await session.scalar(query)
    return moment


async def log_of_server(session: AsyncSession, server_id: str, after: int) -> Sequence[StepLog]:
    query = select(StepLog).where(StepLog.server_id == server_id, StepLog.id > after).order_by(StepLog.id)
    return (await session.scalars(query)).all()
