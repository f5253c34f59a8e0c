"""Rows of rotations, and how far each has come."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import CredentialRotation, RotatedMailbox


class Progress(NamedTuple):
    mailboxes: int
    applied: int
    last_at: datetime | None


async def get(session: AsyncSession, rotation_id: str) -> CredentialRotation | None:
    return await session.get(CredentialRotation, rotation_id)


async def progress(session: AsyncSession, rotation_id: str) -> Progress:
    row = await session.execute(
        select(
            func.count(), func.count(RotatedMailbox.applied_at), func.max(RotatedMailbox.applied_at)
        ).where(RotatedMailbox.rotation_id == rotation_id)
    )
    return Progress(*row.one())


async def waiting(session: AsyncSession, rotation_id: str, limit: int) -> list[str]:
    """Mailboxes whose host has not applied the change yet."""
    found = await session.scalars(
        select(RotatedMailbox.mailbox_id)
        .where(RotatedMailbox.rotation_id == rotation_id, RotatedMailbox.applied_at.is_(None))
        .order_by(RotatedMailbox.mailbox_id)
        .limit(limit)
    )
    return list(found)


async def applied(session: AsyncSession, mailbox_id: str, version: int, now: datetime) -> None:
    await session.execute(
        update(RotatedMailbox)
        .where(
            RotatedMailbox.mailbox_id == mailbox_id,
            RotatedMailbox.version <= version,
            RotatedMailbox.applied_at.is_(None),
        )
        .values(applied_at=now)
        .execution_options(synchronize_session=False)
    )


async def gone(session: AsyncSession, mailbox_ids: Select[str], now: datetime) -> None:
    """A mailbox that is no more is opened by nothing."""
    await session.execute(
        update(RotatedMailbox)
        .where(RotatedMailbox.mailbox_id.in_(mailbox_ids), RotatedMailbox.applied_at.is_(None))
        .values(applied_at=now)
        .execution_options(synchronize_session=False)
    )


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(RotatedMailbox).where(RotatedMailbox.workspace_id == workspace_id))
    await session.execute(delete(CredentialRotation).where(CredentialRotation.workspace_id == workspace_id))
