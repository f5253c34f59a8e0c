"""Rows of servers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import Server


async def remember(session: AsyncSession, server_id: str, workspace_id: str, hostname: str) -> Server | None:
    """The server's row, locked, with this name. None when it is gone or belongs to another workspace."""
    statement = insert(Server).values(id=server_id, workspace_id=workspace_id, hostname=hostname)
    await session.execute(statement.on_conflict_do_nothing())
    server = await session.scalar(
        select(Server)
        .where(Server.id == server_id, Server.workspace_id == workspace_id, Server.deleted_at.is_(None))
        .with_for_update()
    )
    if server is not None:
        server.hostname = hostname
        await session.flush()
    return server


async def get(session: AsyncSession, server_id: str) -> Server | None:
    """A server that is still there."""
    return await session.scalar(select(Server).where(Server.id == server_id, Server.deleted_at.is_(None)))


async def is_deleted(session: AsyncSession, server_id: str) -> bool:
    found = await session.scalar(
        select(Server.id).where(Server.id == server_id, Server.deleted_at.is_not(None))
    )
    return found is not None


async def hostnames(session: AsyncSession, server_ids: Iterable[str]) -> dict[str, str]:
    found = await session.execute(
        select(Server.id, Server.hostname).where(
            Server.id.in_(list(server_ids)), Server.deleted_at.is_(None), Server.hostname.is_not(None)
        )
    )
    return {server_id: hostname or "" for server_id, hostname in found}


async def bury(session: AsyncSession, server_id: str, workspace_id: str, now: datetime) -> None:
    """Leaves the bare id, so that a late call or event does not bring the server back."""
    statement = insert(Server).values(id=server_id, workspace_id=workspace_id, hostname=None, deleted_at=now)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Server.id],
            set_={"hostname": None, "deleted_at": now},
            where=(Server.workspace_id == workspace_id) & Server.deleted_at.is_(None),
        )
    )


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(Server).where(Server.workspace_id == workspace_id))
