"""Rows of mailboxes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ARRAY, Select, Text, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import Mailbox


async def get(session: AsyncSession, mailbox_id: str) -> Mailbox | None:
    """A mailbox that is still there."""
    return await session.scalar(select(Mailbox).where(Mailbox.id == mailbox_id, Mailbox.deleted_at.is_(None)))


async def lock(session: AsyncSession, mailbox_id: str) -> Mailbox | None:
    """A mailbox that is still there; who changes what opens it waits here for others who do."""
    return await session.scalar(
        select(Mailbox).where(Mailbox.id == mailbox_id, Mailbox.deleted_at.is_(None)).with_for_update()
    )


async def lock_all(session: AsyncSession, mailbox_ids: Sequence[str]) -> Sequence[Mailbox]:
    """Those of the list that are still there, locked in the order of their ids, so that nobody waits in a circle."""
    found = await session.scalars(
        select(Mailbox)
        .where(Mailbox.id == func.any(literal(list(mailbox_ids), ARRAY(Text))), Mailbox.deleted_at.is_(None))
        .order_by(Mailbox.id)
        .with_for_update()
    )
    return found.all()


async def claim(
    session: AsyncSession, mailbox_id: str, workspace_id: str, server_id: str, address: str
) -> Mailbox | None:
    """The mailbox's row, locked: callers at the same time wait here for one another.

    None when the id belongs to another workspace or was removed.
    """
    await session.execute(
        insert(Mailbox)
        .values(id=mailbox_id, workspace_id=workspace_id, server_id=server_id, address=address)
        .on_conflict_do_nothing()
    )
    return await lock(session, mailbox_id)


def one(workspace_id: str, mailbox_id: str) -> Select[str]:
    """Its id, also when it is gone; none of another workspace's."""
    return select(Mailbox.id).where(Mailbox.workspace_id == workspace_id, Mailbox.id == mailbox_id)


def of_server(workspace_id: str, server_id: str) -> Select[str]:
    return select(Mailbox.id).where(Mailbox.workspace_id == workspace_id, Mailbox.server_id == server_id)


async def bury(session: AsyncSession, mailbox_id: str, workspace_id: str, now: datetime) -> None:
    """Leaves the bare id, so that a late call does not make a new password for it."""
    statement = insert(Mailbox).values(
        id=mailbox_id, workspace_id=workspace_id, server_id="", address=None, deleted_at=now
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Mailbox.id],
            set_={"address": None, "display_name": "", "deleted_at": now},
            where=(Mailbox.workspace_id == workspace_id) & Mailbox.deleted_at.is_(None),
        )
    )


async def bury_of_server(session: AsyncSession, workspace_id: str, server_id: str, now: datetime) -> None:
    await session.execute(
        update(Mailbox)
        .where(
            Mailbox.workspace_id == workspace_id,
            Mailbox.server_id == server_id,
            Mailbox.deleted_at.is_(None),
        )
        .values(address=None, display_name="", deleted_at=now)
        .execution_options(synchronize_session=False)
    )


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(Mailbox).where(Mailbox.workspace_id == workspace_id))
