"""The report's rows, gathered from the audit chain: what it does not hold was not read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Integer,
    Row,
    Select,
    String,
    Subquery,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.mailboxes.service import FIELD, OWNER_KIND
from services.vault.models import AppPassword, Mailbox, Secret
from shared.db.kit_tables import audit_entry as row

REVEALED = "vault.credential.revealed"
CREATED = "vault.app_password.created"
EXPORTED = "vault.export.redeemed.credentials"


async def page(
    session: AsyncSession,
    workspace_id: str,
    *,
    since: datetime | None,
    actor_id: str | None,
    after: tuple[str, ...] | None,
    limit: int | None,
) -> Sequence[Row[Any]]:
    """One row for each mailbox and reader, by their ids."""
    wanted = [row.c.workspace_id == workspace_id, row.c.outcome == "ok"]
    if since is not None:
        wanted.append(row.c.at >= since)
    if actor_id is not None:
        wanted.append(row.c.actor_id == actor_id)
    reads = _reads(and_(*wanted)).subquery()
    versions = func.array_agg(reads.c.version.distinct()).filter(reads.c.version.is_not(None))
    seen = (
        select(
            reads.c.mailbox_id,
            reads.c.actor_kind,
            reads.c.actor_id,
            func.count().label("reads"),
            func.array_agg(reads.c.way.distinct()).label("ways"),
            func.min(reads.c.at).label("first_at"),
            func.max(reads.c.at).label("last_at"),
            func.coalesce(versions, literal([], ARRAY(Integer))).label("versions"),
            func.max(reads.c.at).filter(reads.c.version.is_(None)).label("unnumbered_at"),
        )
        .group_by(reads.c.mailbox_id, reads.c.actor_kind, reads.c.actor_id)
        .order_by(reads.c.mailbox_id, reads.c.actor_id)
        .limit(limit)
    )
    if after is not None:
        seen = seen.where(tuple_(reads.c.mailbox_id, reads.c.actor_id) > after)
    found = seen.subquery()
    query = (
        select(
            found,
            Mailbox.address,
            _password_opens(found).label("password_valid"),
            _app_passwords_that_open(found).label("app_password_ids"),
        )
        .join(Mailbox, Mailbox.id == found.c.mailbox_id, isouter=True)
        .order_by(found.c.mailbox_id, found.c.actor_id)
    )
    return (await session.execute(query)).all()


class StillOpen(NamedTuple):
    """What one reader has seen of a mailbox and still opens it: its own password, or app passwords."""

    password: bool
    app_password_ids: list[str]


async def still_open(
    session: AsyncSession, workspace_id: str, *, since: datetime | None, actor_id: str
) -> dict[str, StillOpen]:
    """By mailbox."""
    rows = await page(session, workspace_id, since=since, actor_id=actor_id, after=None, limit=None)
    found = {one.mailbox_id: StillOpen(one.password_valid, one.app_password_ids) for one in rows}
    return {mailbox_id: one for mailbox_id, one in found.items() if one.password or one.app_password_ids}


def _reads(wanted: ColumnElement[bool]) -> CompoundSelect[Any]:
    """Each read of each mailbox: a reveal or a new app password names one, a row of an export up to 500."""

    def one(
        way: str, mailbox_id: ColumnElement[Any], version: ColumnElement[Any], action: str
    ) -> Select[Any]:
        return select(
            mailbox_id.label("mailbox_id"), cast(version, Integer).label("version"), row.c.actor_kind,
            row.c.actor_id, row.c.at, literal(way, String).label("way"),
        ).where(wanted, row.c.action == action)  # fmt: skip

    version = row.c.data["version"].astext
    # Two lists of one length, side by side; exports of before there were versions have none of those.
    mailboxes, versions = (
        func.jsonb_array_elements_text(row.c.data[name]) for name in ("mailbox_ids", "versions")
    )
    return union_all(
        one("reveal", row.c.target, version, REVEALED),
        one("app_password", row.c.target, version, CREATED),
        one("export", mailboxes, versions, EXPORTED),
    )


def _password_opens(seen: Subquery) -> ColumnElement[bool]:
    """A stored password of the mailbox's own is one that was seen: by its version, or because it is as old as a read
    whose version is not on record."""
    return (
        select(Secret.id)
        .where(
            Secret.owner_kind == OWNER_KIND,
            Secret.owner_id == seen.c.mailbox_id,
            Secret.field == FIELD,
            or_(Secret.version == func.any(seen.c.versions), Secret.created_at <= seen.c.unnumbered_at),
        )
        .exists()
    )


def _app_passwords_that_open(seen: Subquery) -> ColumnElement[list[str]]:
    """Those that were seen and that a host may still accept."""
    found = (
        select(AppPassword.id)
        .where(
            AppPassword.mailbox_id == seen.c.mailbox_id,
            AppPassword.version == func.any(seen.c.versions),
            AppPassword.ended_at.is_(None),
        )
        .order_by(AppPassword.id)
    )
    return func.array(found.scalar_subquery())
