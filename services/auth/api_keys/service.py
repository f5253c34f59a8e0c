"""API keys for partners: made by a person, never stronger than that person, shown once."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.api_keys import format as key_format
from services.auth.api_keys import repository
from services.auth.api_keys.schemas import ApiKeyView, CreateApiKey, CreatedApiKey
from services.auth.errors import ScopesRefused
from services.auth.models import ApiKey
from services.auth.workspaces.service import active, require_user
from shared import audit
from shared.clock import Clock
from shared.errors import Conflict, NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.web.pagination import Page, PageRequest

KEYS_PER_WORKSPACE = 50


async def create(
    session: AsyncSession,
    clock: Clock,
    hasher: key_format.KeyHasher,
    identity: Identity,
    workspace_id: str,
    request: CreateApiKey,
) -> CreatedApiKey:
    """Raises ScopesRefused when a scope says more than the maker may do himself."""
    maker = require_user(identity)
    workspace = await active(session, workspace_id)
    missing = sorted(
        {scope for scope in request.scopes if scope.replace(":", ".") not in identity.permissions}
    )
    if missing:
        raise ScopesRefused(f"You may not grant {', '.join(missing)}.", field="scopes")
    now = clock.now()
    if await repository.count_alive(session, workspace.id, now) >= KEYS_PER_WORKSPACE:
        raise Conflict(f"The workspace has {KEYS_PER_WORKSPACE} keys.", next_action="Revoke one first.")
    made = key_format.generate()
    clear = made.key.get_secret_value()
    key = ApiKey(
        id=new_id("key"),
        workspace_id=workspace.id,
        name=request.name,
        public_id=made.public_id,
        key_hash=hasher.hash(clear),
        scopes=sorted(set(request.scopes)),
        created_by=maker,
        created_at=now,
        expires_at=now + timedelta(days=request.expires_in_days),
    )
    session.add(key)
    await session.flush()
    await audit.record(
        session,
        workspace_id=workspace.id,
        actor=identity,
        action="auth.api_key.created",
        target=key.id,
        data={"scopes": list(key.scopes), "prefix": _prefix(key)},
    )
    return CreatedApiKey.model_validate({**view(key).model_dump(), "key": clear})


async def page(session: AsyncSession, workspace_id: str, page: PageRequest) -> Page[ApiKeyView]:
    rows = await repository.page(session, workspace_id, before=page.after_id, limit=page.limit + 1)
    return page.page(rows, view, lambda row: row.id)


async def revoke(
    session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str, key_id: str
) -> None:
    if not await repository.revoke(session, workspace_id, key_id, clock.now()):
        raise NotFound
    await stream.api_key_revoked(session, workspace_id, key_id)
    await audit.record(
        session, workspace_id=workspace_id, actor=identity, action="auth.api_key.revoked", target=key_id
    )


def view(key: ApiKey) -> ApiKeyView:
    return ApiKeyView.model_validate(
        {
            "id": key.id,
            "name": key.name,
            "prefix": _prefix(key),
            "scopes": key.scopes,
            "created_by": key.created_by,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "last_used_at": key.last_used_at,
        }
    )


def _prefix(key: ApiKey) -> str:
    return f"sc_live_{key.public_id}"
