"""Rows of webmail sign-ins, and of who may open webmail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, select, update
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


async def forget(session: AsyncSession, mailbox_ids: Sequence[str], before: datetime) -> None:
    """Sign-ins of the mailboxes that were issued before this are over, whatever came of them."""
    await session.execute(
        delete(WebmailSignIn)
        .where(WebmailSignIn.mailbox_id.in_(mailbox_ids), WebmailSignIn.issued_at < before)
        .execution_options(synchronize_session=False)
    )


def _by(actor_id: str) -> ColumnElement[bool]:
    """Opened by him, or by an API key that he made."""
    return (WebmailSignIn.opened_by == actor_id) | (WebmailSignIn.maker == actor_id)


async def opened_by(session: AsyncSession, workspace_id: str, actor_id: str) -> Sequence[str]:
    """Mailboxes whose webmail he opened and that was not ended."""
    found = await session.scalars(
        select(WebmailSignIn.mailbox_id)
        .where(WebmailSignIn.workspace_id == workspace_id, _by(actor_id), WebmailSignIn.ended_at.is_(None))
        .distinct()
    )
    return found.all()


async def end(
    session: AsyncSession, mailbox_ids: Sequence[str], actor_id: str | None, now: datetime
) -> Counter[str]:
    """Ends sign-ins of the mailboxes, or only those of one opener; how many of each. They must be locked."""
    query = update(WebmailSignIn).where(
        WebmailSignIn.mailbox_id.in_(mailbox_ids), WebmailSignIn.ended_at.is_(None)
    )
    if actor_id is not None:
        query = query.where(_by(actor_id))
    ended = await session.scalars(
        query.values(ended_at=now)
        .returning(WebmailSignIn.mailbox_id)
        .execution_options(synchronize_session=False)
    )
    return Counter(ended)


async def ended(session: AsyncSession, mailbox_ids: Sequence[str]) -> dict[str, list[str]]:
    """Mailbox → ids of all its sign-ins that were ended."""
    found: dict[str, list[str]] = {one: [] for one in mailbox_ids}
    rows = await session.execute(
        select(WebmailSignIn.mailbox_id, WebmailSignIn.id)
        .where(WebmailSignIn.mailbox_id.in_(mailbox_ids), WebmailSignIn.ended_at.is_not(None))
        .order_by(WebmailSignIn.id)
    )
    for mailbox_id, sign_in in rows:
        found[mailbox_id].append(sign_in)
    return found


async def delete_of_mailboxes(session: AsyncSession, mailbox_ids: Select[str]) -> None:
    await session.execute(
        delete(WebmailSignIn)
        .where(WebmailSignIn.mailbox_id.in_(mailbox_ids))
        .execution_options(synchronize_session=False)
    )


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(WebmailSignIn).where(WebmailSignIn.workspace_id == workspace_id))
    await session.execute(delete(WebmailOpener).where(WebmailOpener.workspace_id == workspace_id))
