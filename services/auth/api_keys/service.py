"""API keys for partners: made by a person, never stronger than that person, shown once."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.api_keys import format as key_format
from services.auth.api_keys import repository
from services.auth.api_keys.schemas import ApiKeyView, CreateApiKey, CreatedApiKey, RotateApiKey
from services.auth.errors import KeyClosed, NetworkRefused, ScopesRefused
from services.auth.models import ApiKey
from services.auth.workspaces.roles import require_admin
from services.auth.workspaces.service import acting_role, active, require_user
from shared import audit
from shared.clock import Clock
from shared.errors import Conflict, NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.web.pagination import Page, PageRequest

KEYS_PER_WORKSPACE = 50
OVERLAP = timedelta(hours=24)
"""How long a rotated key goes on beside its successor, for partners to change over without a failed request."""


async def create(
    session: AsyncSession,
    clock: Clock,
    hasher: key_format.KeyHasher,
    identity: Identity,
    workspace_id: str,
    request: CreateApiKey,
) -> CreatedApiKey:
    """Raises ScopesRefused when a scope says more than the maker may do himself."""
    maker = await _maker(session, identity, workspace_id)
    _check_scopes(identity, request.scopes)
    now = clock.now()
    if await repository.count_alive(session, workspace_id, now) >= KEYS_PER_WORKSPACE:
        raise Conflict(f"The workspace has {KEYS_PER_WORKSPACE} keys.", next_action="Revoke one first.")
    key, clear = _new_key(hasher, workspace_id, maker, now, request.expires_in_days)
    key.name, key.scopes = request.name, sorted(set(request.scopes))
    key.allowed_networks = sorted({_canonical(network) for network in request.allowed_networks})
    session.add(key)
    await session.flush()
    await _record(session, identity, key, "auth.api_key.created", scopes=list(key.scopes))
    return CreatedApiKey.model_validate({**view(key).model_dump(), "key": clear})


async def rotate(
    session: AsyncSession,
    clock: Clock,
    hasher: key_format.KeyHasher,
    identity: Identity,
    workspace_id: str,
    key_id: str,
    request: RotateApiKey,
) -> CreatedApiKey:
    """Another key that can do the same, from the same networks. The old one works for another day at most.

    Who rotates becomes the new key's maker, so he has to be able to grant its scopes. Raises NotFound, KeyClosed,
    ScopesRefused.
    """
    maker = await _maker(session, identity, workspace_id)
    old = await repository.get(session, workspace_id, key_id)
    if old is None:
        raise NotFound
    _check_scopes(identity, old.scopes)
    now = clock.now()
    if old.revoked_at is not None or old.expires_at <= now or old.replaced_by is not None:
        raise KeyClosed("It was revoked, has expired or was rotated before.", next_action="Make a new key.")
    key, clear = _new_key(hasher, workspace_id, maker, now, request.expires_in_days)
    key.name, key.scopes, key.allowed_networks = old.name, old.scopes, old.allowed_networks
    key.rotated_from = old.id
    session.add(key)
    old.replaced_by = key.id
    old.expires_at = min(old.expires_at, now + OVERLAP)
    await session.flush()
    await _record(session, identity, key, "auth.api_key.rotated", rotated_from=old.id)
    return CreatedApiKey.model_validate({**view(key).model_dump(), "key": clear})


async def _maker(session: AsyncSession, identity: Identity, workspace_id: str) -> str:
    """The person who may make keys now; the workspace is locked. Raises Forbidden."""
    maker = require_user(identity)
    workspace = await active(session, workspace_id)
    require_admin(await acting_role(session, workspace.id, identity))
    return maker


def _canonical(network: str) -> str:
    """A CIDR block in its one spelling; a single address is a block of its own. Raises NetworkRefused."""
    try:
        return str(ipaddress.ip_network(network.strip()))
    except ValueError:
        raise NetworkRefused(
            "Each network is an address or a CIDR block whose host bits are zero.",
            field="body.allowed_networks",
            next_action="Write it like 198.51.100.0/24 or 2001:db8::/48.",
        ) from None


def _check_scopes(identity: Identity, scopes: Iterable[str]) -> None:
    missing = sorted({scope for scope in scopes if scope.replace(":", ".") not in identity.permissions})
    if missing:
        raise ScopesRefused(f"You may not grant {', '.join(missing)}.", field="scopes")


def _new_key(
    hasher: key_format.KeyHasher, workspace_id: str, maker: str, now: datetime, days: int
) -> tuple[ApiKey, str]:
    """The row, still without name, scopes and networks, and the key itself."""
    made = key_format.generate()
    clear = made.key.get_secret_value()
    row = ApiKey(
        id=new_id("key"),
        workspace_id=workspace_id,
        public_id=made.public_id,
        key_hash=hasher.hash(clear),
        created_by=maker,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    return row, clear


async def _record(session: AsyncSession, identity: Identity, key: ApiKey, action: str, **data: Any) -> None:
    await audit.record(
        session,
        workspace_id=key.workspace_id,
        actor=identity,
        action=action,
        target=key.id,
        data={"name": key.name, "prefix": prefix(key), **data},
    )


async def page(session: AsyncSession, workspace_id: str, page: PageRequest) -> Page[ApiKeyView]:
    rows = await repository.page(session, workspace_id, before=page.after_id, limit=page.limit + 1)
    return page.page(rows, view, lambda row: row.id)


async def revoke(
    session: AsyncSession, clock: Clock, identity: Identity, workspace_id: str, key_id: str
) -> None:
    await _maker(session, identity, workspace_id)
    if not await repository.revoke(session, workspace_id, key_id, clock.now(), "by hand"):
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
            "prefix": prefix(key),
            "scopes": key.scopes,
            "allowed_networks": key.allowed_networks,
            "created_by": key.created_by,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "rotated_from": key.rotated_from,
            "replaced_by": key.replaced_by,
            "last_used_at": key.last_used_at,
        }
    )


def prefix(key: ApiKey) -> str:
    return f"sc_live_{key.public_id}"
