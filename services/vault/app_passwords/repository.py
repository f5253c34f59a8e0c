"""Rows of app passwords. The secret of one is the mailbox's secret of the field `app_password` and the same version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Row, Select, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import AppPassword, Secret

FIELD = "app_password"

_SECRET = and_(
    Secret.owner_kind == "mailbox",
    Secret.owner_id == AppPassword.mailbox_id,
    Secret.field == FIELD,
    Secret.version == AppPassword.version,
)


async def mailbox_of(session: AsyncSession, app_password_id: str) -> str | None:
    return await session.scalar(select(AppPassword.mailbox_id).where(AppPassword.id == app_password_id))


async def get(session: AsyncSession, app_password_id: str) -> AppPassword | None:
    """One that was not revoked; its mailbox must be locked."""
    return await session.scalar(
        select(AppPassword).where(AppPassword.id == app_password_id, AppPassword.revoked_version.is_(None))
    )


async def page(
    session: AsyncSession, mailbox_id: str, after_id: str | None, limit: int
) -> Sequence[Row[AppPassword, str | None]]:
    """Those that open the mailbox, will or still do, each with the state of its secret; oldest first."""
    query = (
        select(AppPassword, Secret.state)
        .join(Secret, _SECRET, isouter=True)
        .where(AppPassword.mailbox_id == mailbox_id, AppPassword.ended_at.is_(None))
        .order_by(AppPassword.id)
        .limit(limit)
    )
    if after_id is not None:
        query = query.where(AppPassword.id > after_id)
    return (await session.execute(query)).all()


async def count(session: AsyncSession, mailbox_id: str) -> int:
    """Those that people asked for; of each export format there is one at most."""
    found = await session.scalar(
        select(func.count()).where(
            AppPassword.mailbox_id == mailbox_id,
            AppPassword.revoked_version.is_(None),
            AppPassword.tool.is_(None),
        )
    )
    return found or 0


async def in_force(session: AsyncSession, mailbox_id: str) -> Sequence[Row[AppPassword, Secret | None]]:
    """Those that were not revoked, each with its secret, if that was made; oldest first."""
    query = (
        select(AppPassword, Secret)
        .join(Secret, _SECRET, isouter=True)
        .where(AppPassword.mailbox_id == mailbox_id, AppPassword.revoked_version.is_(None))
        .order_by(AppPassword.version)
    )
    return (await session.execute(query)).all()


async def revoke(session: AsyncSession, row: AppPassword, version: int, now: datetime) -> None:
    """The secret is destroyed at once; the host accepts it until it has applied `version`."""
    row.revoked_version, row.revoked_at = version, now
    await session.execute(
        delete(Secret)
        .where(
            Secret.owner_kind == "mailbox",
            Secret.owner_id == row.mailbox_id,
            Secret.field == FIELD,
            Secret.version == row.version,
        )
        .execution_options(synchronize_session=False)
    )


async def applied(session: AsyncSession, mailbox_id: str, version: int, now: datetime) -> None:
    """The host has this version of the mailbox's passwords: new ones open it, revoked ones do not any more."""
    await session.execute(
        update(Secret)
        .where(
            Secret.owner_kind == "mailbox",
            Secret.owner_id == mailbox_id,
            Secret.field == FIELD,
            Secret.version <= version,
            Secret.state == "pending",
        )
        .values(state="current", applied_at=now)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        update(AppPassword)
        .where(
            AppPassword.mailbox_id == mailbox_id,
            AppPassword.revoked_version <= version,
            AppPassword.ended_at.is_(None),
        )
        .values(ended_at=now)
        .execution_options(synchronize_session=False)
    )


async def used(
    session: AsyncSession, workspace_id: str, mailbox_id: str, uses: Mapping[int, datetime], now: datetime
) -> None:
    """Its version → when it signed in. What is older than what is known changes nothing, nor does a host's fast clock
    reach beyond `now`."""
    for version, at in uses.items():
        last = min(at, now)
        await session.execute(
            update(AppPassword)
            .where(
                AppPassword.workspace_id == workspace_id,
                AppPassword.mailbox_id == mailbox_id,
                AppPassword.version == version,
                or_(AppPassword.last_used_at.is_(None), AppPassword.last_used_at < last),
            )
            .values(last_used_at=last)
            .execution_options(synchronize_session=False)
        )


async def delete_of_mailboxes(session: AsyncSession, mailbox_ids: Select[str]) -> None:
    await session.execute(
        delete(AppPassword)
        .where(AppPassword.mailbox_id.in_(mailbox_ids))
        .execution_options(synchronize_session=False)
    )


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(AppPassword).where(AppPassword.workspace_id == workspace_id))
