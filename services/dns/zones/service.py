"""What the API does with zones: register, show, have them looked at."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.desired import domain_problem
from services.dns.errors import ProviderTokenMisplaced, WorkspaceEnding, ZoneExists, ZoneNotUsable
from services.dns.models import Zone
from services.dns.names import BadName, domain_name
from services.dns.workspaces import repository as workspaces
from services.dns.zones import repository
from services.dns.zones.schemas import ZoneRequest, ZoneView, zone_view
from shared import audit
from shared.identity.model import Identity
from shared.ids import new_id


async def create(
    session: AsyncSession,
    identity: Identity,
    workspace_id: str,
    request: ZoneRequest,
    *,
    platform_zone: str,
    special_use_names: Sequence[str],
    now: datetime,
) -> ZoneView:
    """Registers a zone; the worker proves it within a second or says why it cannot.

    Raises ZoneNotUsable, ProviderTokenMisplaced, ZoneExists, WorkspaceEnding.
    """
    if await workspaces.is_ending(session, workspace_id):
        raise WorkspaceEnding("No zone can be added to it any more.")
    if (request.method == "token") != (request.provider_token_id is not None):
        raise ProviderTokenMisplaced(field="body.provider_token_id")
    name = _usable(request.name, platform_zone, special_use_names)
    if await repository.by_name(session, workspace_id, name) is not None:
        raise _exists(name)
    zone = Zone(
        id=new_id("zon"),
        workspace_id=workspace_id,
        name=name,
        method=request.method,
        provider_token_id=request.provider_token_id,
        challenge=f"sendchief-challenge={secrets.token_urlsafe(32)}",
        state="proving",
        name_servers=[],
        created_at=now,
        due_at=now,
    )
    session.add(zone)
    try:
        await session.flush()
    except IntegrityError as error:
        raise _exists(name) from error
    await audit.record(
        session, workspace_id=workspace_id, actor=identity, action="dns.zone.registered", target=zone.id,
        data={"name": name, "method": request.method},
    )  # fmt: skip
    return zone_view(zone)


def _usable(text: str, platform_zone: str, special_use_names: Sequence[str]) -> str:
    try:
        name = domain_name(text)
    except BadName as error:
        raise ZoneNotUsable(str(error), field="name") from error
    if (problem := domain_problem(name, special_use_names, platform_zone)) is not None:
        raise ZoneNotUsable(problem, field="name", next_action="Use a domain that you own.")
    return name


def _exists(name: str) -> ZoneExists:
    return ZoneExists(f"{name} is in this workspace already.", field="name")


async def show(session: AsyncSession, zone_id: str) -> ZoneView:
    return zone_view(await repository.get(session, zone_id))


async def check_now(session: AsyncSession, zone_id: str, now: datetime) -> ZoneView:
    """Has the proof tried again at once, also after it had failed."""
    zone = await repository.get(session, zone_id)
    await repository.wake(session, zone.id, now)
    return zone_view(zone)
