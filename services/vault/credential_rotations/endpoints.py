"""POST …/credential-reads/rotate and GET …/credential-rotations/{rotation_id}."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.vault.credential_rotations.schemas import NewRotation, RotationAccepted
from services.vault.wiring import ResourcesDep
from shared.ids import RotationId, WorkspaceId
from shared.jobs import JobView
from shared.web.access import IdentityDep, requires
from shared.web.idempotency import IdempotencyDep
from shared.web.session import SessionDep

router = APIRouter(prefix="/v1/workspaces/{workspace_id}", tags=["Audit"])


@router.post(
    "/credential-reads/rotate",
    status_code=202,
    response_model=RotationAccepted,
    dependencies=[requires("credentials.change", step_up=300)],
)
async def rotate(
    workspace_id: WorkspaceId,
    request: NewRotation,
    session: SessionDep,
    identity: IdentityDep,
    idempotency: IdempotencyDep,
    resources: ResourcesDep,
) -> Response:
    """A new password for each mailbox whose password this reader has seen; app passwords that he has seen are revoked.

    His copies open the mailboxes until their servers have applied it; the job tells.
    """
    return await idempotency.run(
        status_code=202,
        call=lambda: resources.credential_rotations.start(session, identity, workspace_id, request),
    )


@router.get("/credential-rotations/{rotation_id}", dependencies=[requires("audit.read")])
async def read_rotation(
    workspace_id: WorkspaceId, rotation_id: RotationId, session: SessionDep, resources: ResourcesDep
) -> JobView:
    return await resources.credential_rotations.view(session, rotation_id)
