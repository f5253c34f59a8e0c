"""PUT /internal/servers/{server_id}/webmail-key."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from services.vault.access import own_workspace
from services.vault.no_store import NO_STORE
from services.vault.wiring import ResourcesDep
from shared.contracts.vault_api import WebmailKeyRequest, WebmailKeyResponse
from shared.ids import ServerId
from shared.web.access import IdentityDep, internal
from shared.web.session import SessionDep

router = APIRouter()


@router.put(
    "/internal/servers/{server_id}/webmail-key",
    dependencies=[internal("provisioner")],
    response_model=WebmailKeyResponse,
)
async def put_webmail_key(
    server_id: ServerId,
    request: WebmailKeyRequest,
    session: SessionDep,
    identity: IdentityDep,
    resources: ResourcesDep,
) -> JSONResponse:
    own_workspace(identity, request.workspace_id)
    answer = await resources.servers.webmail_key(session, identity, server_id, request)
    # Written out by hand: the key is a SecretStr, which every ordinary dump masks.
    return JSONResponse({"version": answer.version, "key": answer.key.get_secret_value()}, headers=NO_STORE)
