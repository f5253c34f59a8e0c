"""POST …/exports, GET …/exports/{export_id}, POST …/exports/{export_id}/download."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from services.vault.exports.catalogue import formats
from services.vault.exports.schemas import DownloadRequest, ExportCreated, ExportView, NewExport
from services.vault.exports.writers import writer
from services.vault.no_store import NO_STORE
from services.vault.wiring import ResourcesDep
from shared.ids import ExportId, WorkspaceId
from shared.web.access import IdentityDep, requires
from shared.web.idempotency import IdempotencyDep
from shared.web.session import DatabaseDep, SessionDep

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/exports", tags=["Exports"])


@router.post(
    "",
    status_code=201,
    response_model=ExportCreated,
    dependencies=[requires("credentials.export", step_up=300)],
)
async def create_export(
    workspace_id: WorkspaceId,
    request: NewExport,
    session: SessionDep,
    identity: IdentityDep,
    idempotency: IdempotencyDep,
    resources: ResourcesDep,
) -> Response:
    """A link that works once within 15 minutes. A repeated request shows the link again, without its token."""
    return await idempotency.run(
        status_code=201,
        call=lambda: resources.exports.create(session, identity, workspace_id, request),
        secret_fields=("token",),
        headers=NO_STORE,
    )


@router.get("/{export_id}", dependencies=[requires("credentials.export")])
async def read_export(
    workspace_id: WorkspaceId, export_id: ExportId, session: SessionDep, resources: ResourcesDep
) -> ExportView:
    return await resources.exports.view(session, export_id)


@router.post(
    "/{export_id}/download",
    dependencies=[requires("credentials.export")],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The credentials, in the format of the export.",
            "content": {"text/csv": {}, "application/json": {}},
        }
    },
)
async def download_export(
    workspace_id: WorkspaceId,
    export_id: ExportId,
    request: DownloadRequest,
    session: SessionDep,
    database: DatabaseDep,
    identity: IdentityDep,
    resources: ResourcesDep,
) -> StreamingResponse:
    """Uses the link up. What it hands out is on record before it leaves."""
    redeemed = await resources.exports.redeem(session, identity, export_id, request.token.get_secret_value())
    name = f"sendchief-{export_id}.{formats()[redeemed.link.format].kind}"
    return StreamingResponse(
        resources.exports.stream(database, redeemed),
        media_type=writer(redeemed.link.format).media_type,
        headers={**NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'},
    )
