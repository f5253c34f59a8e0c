"""Rows of what people have switched off."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Member, NotificationMute


async def muted(session: AsyncSession, workspace_id: str, account_id: str) -> set[str]:
    """Names of the kinds that this person does not want from this workspace."""
    statement = select(NotificationMute.kind).where(
        NotificationMute.workspace_id == workspace_id, NotificationMute.account_id == account_id
    )
    return set((await session.execute(statement)).scalars())


async def mute(
    session: AsyncSession, workspace_id: str, account_id: str, kinds: Iterable[str], now: datetime
) -> None:
    """Muting twice is no error."""
    rows = [
        {"workspace_id": workspace_id, "account_id": account_id, "kind": kind, "created_at": now}
        for kind in sorted(kinds)
    ]
    if rows:
        await session.execute(insert(NotificationMute).values(rows).on_conflict_do_nothing())


async def unmute(session: AsyncSession, workspace_id: str, account_id: str, kinds: Iterable[str]) -> None:
    await session.execute(
        delete(NotificationMute).where(
            NotificationMute.workspace_id == workspace_id,
            NotificationMute.account_id == account_id,
            NotificationMute.kind.in_(sorted(kinds)),
        )
    )


async def lock_member(session: AsyncSession, workspace_id: str, account_id: str) -> bool:
    """Whether he is one. What he wants is changed by one request after the other."""
    statement = (
        select(Member.id)
        .where(Member.workspace_id == workspace_id, Member.account_id == account_id)
        .with_for_update()
    )
    return (await session.execute(statement)).first() is not None
