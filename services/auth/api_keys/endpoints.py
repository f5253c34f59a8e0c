"""API keys."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.api_keys import service
from services.auth.api_keys.schemas import ApiKeyView, CreateApiKey, CreatedApiKey, RotateApiKey
from services.auth.wiring import Wired
from shared.ids import ApiKeyId, WorkspaceId
from shared.web.access import IdentityDep, requires
from shared.web.idempotency import IdempotencyDep
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["API keys"])
_PATH = "/v1/workspaces/{workspace_id}/api-keys"


@router.post(_PATH, status_code=201, response_model=CreatedApiKey, dependencies=[requires("api_keys.write")])
async def create_api_key(
    workspace_id: WorkspaceId,
    request: CreateApiKey,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Makes a key. It is in this answer and nowhere else; a repeated request answers with `key` null."""
    return await idempotency.run(
        status_code=201,
        call=lambda: service.create(session, wired.clock, wired.keys, identity, workspace_id, request),
        secret_fields={"key"},
    )


@router.get(_PATH, dependencies=[requires("api_keys.read")])
async def list_api_keys(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[ApiKeyView]:
    return await service.page(session, workspace_id, page)


@router.post(
    _PATH + "/{key_id}/rotate",
    status_code=201,
    response_model=CreatedApiKey,
    dependencies=[requires("api_keys.write")],
)
async def rotate_api_key(
    workspace_id: WorkspaceId,
    key_id: ApiKeyId,
    request: RotateApiKey,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Makes a key that can do the same. The old one goes on for 24 hours; the new one is in this answer only."""
    return await idempotency.run(
        status_code=201,
        call=lambda: service.rotate(
            session, wired.clock, wired.keys, identity, workspace_id, key_id, request
        ),
        secret_fields={"key"},
    )


@router.delete(_PATH + "/{key_id}", status_code=204, dependencies=[requires("api_keys.write")])
async def revoke_api_key(
    workspace_id: WorkspaceId, key_id: ApiKeyId, identity: IdentityDep, session: SessionDep, wired: Wired
) -> Response:
    """Ends a key. Requests with it are refused within a second."""
    await service.revoke(session, wired.clock, identity, workspace_id, key_id)
    return Response(status_code=204)
