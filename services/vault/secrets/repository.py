"""Rows of secrets, and the count of decryptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import Secret

_COUNT = text("""
    insert into decrypt_count (workspace_id, purpose, count, last_at) values (:workspace_id, :purpose, :number, :now)
    on conflict (workspace_id, purpose) do update
    set count = decrypt_count.count + excluded.count, last_at = excluded.last_at
""")


async def all_versions(session: AsyncSession, owner_kind: str, owner_id: str, field: str) -> Sequence[Secret]:
    """Pending and current ones, oldest first."""
    found = await session.scalars(
        select(Secret)
        .where(
            Secret.owner_kind == owner_kind,
            Secret.owner_id == owner_id,
            Secret.field == field,
        )
        .order_by(Secret.version)
    )
    return found.all()


async def in_use(session: AsyncSession, owner_kind: str, owner_id: str, field: str) -> Secret | None:
    """The current version; while none was ever applied, the newest pending one."""
    return await session.scalar(
        select(Secret)
        .where(
            Secret.owner_kind == owner_kind,
            Secret.owner_id == owner_id,
            Secret.field == field,
        )
        .order_by((Secret.state == "current").desc(), Secret.version.desc())
        .limit(1)
    )


async def delete_older(
    session: AsyncSession, owner_kind: str, owner_id: str, field: str, *, than: int
) -> None:
    """A password that was replaced is of no use to anybody but a thief."""
    await session.execute(
        delete(Secret)
        .where(
            Secret.owner_kind == owner_kind,
            Secret.owner_id == owner_id,
            Secret.field == field,
            Secret.version < than,
        )
        .execution_options(synchronize_session=False)
    )


async def delete_of_owner(session: AsyncSession, workspace_id: str, owner_kind: str, owner_id: str) -> int:
    gone = await session.scalars(
        delete(Secret)
        .where(
            Secret.workspace_id == workspace_id, Secret.owner_kind == owner_kind, Secret.owner_id == owner_id
        )
        .returning(Secret.id)
    )
    return len(gone.all())


async def move_to_server(session: AsyncSession, owner_kind: str, owner_id: str, server_id: str) -> None:
    """Of an owner whose row is locked."""
    await session.execute(
        update(Secret)
        .where(Secret.owner_kind == owner_kind, Secret.owner_id == owner_id)
        .values(server_id=server_id)
        .execution_options(synchronize_session=False)
    )


async def delete_of_server(session: AsyncSession, workspace_id: str, server_id: str) -> int:
    gone = await session.scalars(
        delete(Secret)
        .where(Secret.workspace_id == workspace_id, Secret.server_id == server_id)
        .returning(Secret.id)
    )
    return len(gone.all())


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> int:
    gone = await session.scalars(
        delete(Secret).where(Secret.workspace_id == workspace_id).returning(Secret.id)
    )
    return len(gone.all())


async def count_decrypts(
    session: AsyncSession, workspace_id: str, purpose: str, number: int, now: datetime
) -> None:
    await session.execute(
        _COUNT, {"workspace_id": workspace_id, "purpose": purpose, "number": number, "now": now}
    )
