"""Rows of webmail sign-ins, and of who may open webmail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import WebmailOpener, WebmailSignIn


async def lock_opener(session: AsyncSession, workspace_id: str, actor_id: str) -> WebmailOpener:
    """His row, locked: who opens webmail and who takes that from him wait for one another. Lock it before a mailbox."""
    await session.execute(
        insert(WebmailOpener).values(workspace_id=workspace_id, actor_id=actor_id).on_conflict_do_nothing()
    )
    found = await session.scalars(
        select(WebmailOpener)
        .where(WebmailOpener.workspace_id == workspace_id, WebmailOpener.actor_id == actor_id)
        .with_for_update()
    )
    return found.one()


async def forget(session: AsyncSession, mailbox_id: str, before: datetime) -> None:
    """Sign-ins of the mailbox that were issued before this are over, whatever came of them."""
    await session.execute(
        delete(WebmailSignIn)
        .where(WebmailSignIn.mailbox_id == mailbox_id, WebmailSignIn.issued_at < before)
        .execution_options(synchronize_session=False)
    )


async def opened_by(session: AsyncSession, workspace_id: str, actor_id: str) -> Sequence[str]:
    """Mailboxes whose webmail he opened and that was not ended."""
    found = await session.scalars(
        select(WebmailSignIn.mailbox_id)
        .where(
            WebmailSignIn.workspace_id == workspace_id,
            WebmailSignIn.opened_by == actor_id,
            WebmailSignIn.ended_at.is_(None),
        )
        .distinct()
    )
    return found.all()


async def end(session: AsyncSession, mailbox_id: str, actor_id: str | None, now: datetime) -> int:
    """Ends the mailbox's sign-ins, or only those of one opener; how many. The mailbox must be locked."""
    query = update(WebmailSignIn).where(
        WebmailSignIn.mailbox_id == mailbox_id, WebmailSignIn.ended_at.is_(None)
    )
    if actor_id is not None:
        query = query.where(WebmailSignIn.opened_by == actor_id)
    ended = await session.scalars(
        query.values(ended_at=now).returning(WebmailSignIn.id).execution_options(synchronize_session=False)
    )
    return len(ended.all())


async def ended(session: AsyncSession, mailbox_id: str) -> Sequence[str]:
    found = await session.scalars(
        select(WebmailSignIn.id)
        .where(WebmailSignIn.mailbox_id == mailbox_id, WebmailSignIn.ended_at.is_not(None))
        .order_by(WebmailSignIn.id)
    )
    return found.all()


async def delete_of_mailboxes(session: AsyncSession, mailbox_ids: Select[str]) -> None:
    await session.execute(
        delete(WebmailSignIn)
        .where(WebmailSignIn.mailbox_id.in_(mailbox_ids))
        .execution_options(synchronize_session=False)
    )


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(WebmailSignIn).where(WebmailSignIn.workspace_id == workspace_id))
    await session.execute(delete(WebmailOpener).where(WebmailOpener.workspace_id == workspace_id))
