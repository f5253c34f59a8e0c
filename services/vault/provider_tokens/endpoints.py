"""POST and GET …/provider-tokens; GET /internal/provider-tokens/{token_id} for the dns service."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from services.vault.access import own_workspace
from services.vault.no_store import NO_STORE
from services.vault.provider_tokens import repository
from services.vault.provider_tokens.schemas import NewProviderToken, ProviderTokenView
from services.vault.provider_tokens.service import view
from services.vault.wiring import ResourcesDep
from shared.contracts.vault_api import ProviderTokenResponse
from shared.ids import ProviderTokenId, WorkspaceId
from shared.web.access import IdentityDep, internal, requires
from shared.web.idempotency import IdempotencyDep
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Provider tokens"])


@router.post(
    "/v1/workspaces/{workspace_id}/provider-tokens",
    status_code=201,
    response_model=ProviderTokenView,
    dependencies=[requires("provider_tokens.write")],
)
async def add_provider_token(
    workspace_id: WorkspaceId,
    request: NewProviderToken,
    session: SessionDep,
    identity: IdentityDep,
    idempotency: IdempotencyDep,
    resources: ResourcesDep,
) -> Response:
    """Keeps the token sealed; it is never shown to people again."""
    return await idempotency.run(
        status_code=201,
        call=lambda: resources.provider_tokens.add(session, identity, workspace_id, request),
    )


@router.get(
    "/v1/workspaces/{workspace_id}/provider-tokens",
    dependencies=[requires("provider_tokens.read")],
)
async def list_provider_tokens(
    workspace_id: WorkspaceId, page: PageDep, session: SessionDep
) -> Page[ProviderTokenView]:
    rows = await repository.listed(session, page.after_id, page.limit)
    return page.page(rows, view, lambda row: row.id)


@router.get(
    "/internal/provider-tokens/{token_id}",
    dependencies=[internal("dns")],
    response_model=ProviderTokenResponse,
)
async def read_provider_token(
    token_id: ProviderTokenId,
    workspace_id: Annotated[WorkspaceId, Query()],
    session: SessionDep,
    identity: IdentityDep,
    resources: ResourcesDep,
) -> JSONResponse:
    own_workspace(identity, workspace_id)
    answer = await resources.provider_tokens.read(session, identity, token_id)
    # Written out by hand: the token is a SecretStr, which every ordinary dump masks.
    content = {"provider": answer.provider, "token": answer.token.get_secret_value()}
    return JSONResponse(content, headers=NO_STORE)
