"""What a customer orders of a server that is there: reboot, rescue, rebuild. Here is only the wish; the reconciler
carries it out, and goes on with it whoever dies."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.domains import moving
from services.provisioner.errors import ServerBusy, ServerEnding, ServerNotReady
from services.provisioner.jobs import repository as jobs
from services.provisioner.models import Condition, Job, Server
from services.provisioner.reconciler.lease import wake
from services.provisioner.servers import repository
from services.provisioner.servers.schemas import RebuildServer
from services.provisioner.servers.service import confirm_name
from shared import audit
from shared.errors import NotFound
from shared.identity import Identity


async def reboot(session: AsyncSession, identity: Identity, server_id: str, reason: str) -> Job:
    """Raises NotFound, ServerEnding, ServerNotReady, ServerBusy."""
    server = await _orderable(session, server_id)
    _at_rest(server)
    wish = {"boots": Server.boots + 1, "boot_type": "local"}
    return await _order(session, identity, server, "reboot", wish, reason)


async def rescue(session: AsyncSession, identity: Identity, server_id: str, reason: str) -> Job:
    """Raises NotFound, ServerEnding, ServerNotReady, ServerBusy."""
    server = await _orderable(session, server_id)
    _at_rest(server)
    wish = {"boots": Server.boots + 1, "boot_type": "rescue"}
    return await _order(session, identity, server, "rescue", wish, reason)


async def rebuild(session: AsyncSession, identity: Identity, server_id: str, request: RebuildServer) -> Job:
    """Also of one whose start does not succeed. Raises NotFound, NameMismatch, ServerEnding, ServerNotReady,
    ServerBusy."""
    server = await _orderable(session, server_id)
    confirm_name(server, request.confirm_name, "rebuild")
    if not _built(server) and not await _stalled(session, server):
        raise ServerBusy("It is being rebuilt already.", next_action="Follow the job of that order.")
    await moving.nothing_moves(session, server.id)
    wish = {"incarnation": Server.incarnation + 1}
    return await _order(session, identity, server, "rebuild", wish, request.reason)


def _built(server: Server) -> bool:
    """Whether the machine that was ordered last is there: the first one is, once the server was ever Ready, and a
    later one when its host key is known."""
    first = server.incarnation == 1
    return server.incarnation_cleared >= server.incarnation and (first or server.host_key_own)


async def _stalled(session: AsyncSession, server: Server) -> bool:
    """Whether the rebuild before this order has given up its deadline: then another may be tried."""
    row = await session.get(Condition, (server.id, "Stalled"))
    return server.incarnation_cleared >= server.incarnation and row is not None and row.status == "true"


def _at_rest(server: Server) -> None:
    if server.boots_done < server.boots or not _built(server):
        raise ServerBusy(
            "It is being started or rebuilt already.", next_action="Follow the job of that order."
        )


async def _orderable(session: AsyncSession, server_id: str) -> Server:
    server = await repository.lock(session, server_id)
    if server is None:
        raise NotFound
    if server.desired == "absent":
        raise ServerEnding("It has been cancelled.")
    if not server.ever_ready:
        raise ServerNotReady("Wait until the server is ready.", next_action="Follow its provision job.")
    return server


async def _order(
    session: AsyncSession, identity: Identity, server: Server, kind: str, wish: dict[str, Any], reason: str
) -> Job:
    """The wish, its job, its audit row, and a wake-up; the row is locked."""
    await session.execute(
        update(Server)
        .where(Server.id == server.id)
        .values(generation=Server.generation + 1, **wish)
        .execution_options(synchronize_session=False)
    )
    await session.refresh(server, ["generation"])
    job = await jobs.begin(session, server, kind=kind, subject_id=server.id, requested_by=identity.subject)
    await audit.record(
        session,
        workspace_id=server.workspace_id,
        actor=identity,
        action=f"provisioner.server.{kind}_ordered",
        target=server.id,
        reason=reason,
    )
    await wake(session, server.id)
    return job
