"""Rows behind jobs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Condition, Job, Server, StepLog
from shared.ids import new_id


async def begin(
    session: AsyncSession, server: Server, *, kind: str, subject_id: str, requested_by: str
) -> Job:
    """Names the stretch of the step log that begins now."""
    last = await session.scalar(
        select(func.coalesce(func.max(StepLog.id), 0)).where(StepLog.server_id == server.id)
    )
    job = Job(
        id=new_id("job"),
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


async def log_of(session: AsyncSession, job: Job) -> Sequence[StepLog]:
    """The job's rows, in order."""
    query = (
        select(StepLog)
        .where(StepLog.server_id == job.server_id, StepLog.id > job.after_log)
        .where(StepLog.subject_id == job.subject_id)
        .order_by(StepLog.id)
    )
    return (await session.scalars(query)).all()


async def stalled(session: AsyncSession, server_id: str) -> Condition | None:
    return await session.get(Condition, (server_id, "Stalled"))
