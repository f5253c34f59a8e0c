"""Jobs: one, live, and those of a server."""

from __future__ import annotations

from fastapi import APIRouter

from services.provisioner.jobs import service
from services.provisioner.wiring import Wired
from shared.ids import JobId, ServerId, WorkspaceId
from shared.jobs import JobBatch, JobView, job_stream
from shared.web import (
    DatabaseDep,
    EventStream,
    IdentityDep,
    LastEventIdDep,
    Page,
    PageDep,
    SessionDep,
    requires,
)

router = APIRouter(prefix="/v1/workspaces/{workspace_id}", tags=["Jobs"])


@router.get("/jobs/{job_id}", dependencies=[requires("jobs.read")])
async def get(workspace_id: WorkspaceId, job_id: JobId, session: SessionDep, wired: Wired) -> JobView:
    """Its named steps, and when it ends by our own history (`eta`), or why that cannot be told (`eta_reason`)."""
    return await service.get(session, job_id, wired.clock.now())


@router.get("/jobs/{job_id}/events", response_class=EventStream, dependencies=[requires("jobs.read")])
async def events(
    workspace_id: WorkspaceId,
    job_id: JobId,
    identity: IdentityDep,
    database: DatabaseDep,
    last_event_id: LastEventIdDep,
) -> EventStream:
    """Server-sent events `step` and `job`, resumable by `Last-Event-ID`; ends when the job has."""

    async def load(after: int) -> JobBatch:
        return await service.batch(database, identity.workspace_id, job_id, after)

    await load(last_event_id)  # an unknown job is a 404, not a broken stream
    return job_stream(load, last_event_id)


@router.get("/servers/{server_id}/jobs", dependencies=[requires("jobs.read")])
async def of_server(
    workspace_id: WorkspaceId, server_id: ServerId, session: SessionDep, page: PageDep, wired: Wired
) -> Page[JobView]:
    """Newest first."""
    return await service.of_server(session, server_id, page, wired.clock.now())
