"""The report's rows, gathered from the audit chain: what it does not hold was not read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    String,
    and_,
    func,
    literal,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.mailboxes.service import FIELD, OWNER_KIND
from services.vault.models import Mailbox, Secret
from shared.db.kit_tables import audit_entry as row

REVEALED = "vault.credential.revealed"
EXPORTED = "vault.export.redeemed.credentials"


async def page(
    session: AsyncSession,
    workspace_id: str,
    *,
    since: datetime | None,
    actor_id: str | None,
    after: tuple[str, ...] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """One row for each mailbox and reader, by their ids."""
    wanted = [row.c.workspace_id == workspace_id, row.c.outcome == "ok"]
    if since is not None:
        wanted.append(row.c.at >= since)
    if actor_id is not None:
        wanted.append(row.c.actor_id == actor_id)
    reads = _reads(and_(*wanted)).subquery()
    seen = (
        select(
            reads.c.mailbox_id,
            reads.c.actor_kind,
            reads.c.actor_id,
            func.count().label("reads"),
            func.array_agg(reads.c.way.distinct()).label("ways"),
            func.min(reads.c.at).label("first_at"),
            func.max(reads.c.at).label("last_at"),
        )
        .group_by(reads.c.mailbox_id, reads.c.actor_kind, reads.c.actor_id)
        .order_by(reads.c.mailbox_id, reads.c.actor_id)
        .limit(limit)
    )
    if after is not None:
        seen = seen.where(tuple_(reads.c.mailbox_id, reads.c.actor_id) > after)
    found = seen.subquery()
    query = (
        select(found, Mailbox.address, _still_valid(found.c.mailbox_id, found.c.last_at).label("still_valid"))
        .join(Mailbox, Mailbox.id == found.c.mailbox_id, isouter=True)
        .order_by(found.c.mailbox_id, found.c.actor_id)
    )
    return (await session.execute(query)).all()


def _reads(wanted: ColumnElement[bool]) -> CompoundSelect[Any]:
    """Each read of each mailbox: a reveal names one, a row of an export names up to 500."""

    def one(way: str, mailbox_id: ColumnElement[Any], action: str) -> Select[Any]:
        return select(
            mailbox_id.label("mailbox_id"), row.c.actor_kind, row.c.actor_id, row.c.at,
            literal(way, String).label("way"),
        ).where(wanted, row.c.action == action)  # fmt: skip

    listed = func.jsonb_array_elements_text(row.c.data["mailbox_ids"])
    return union_all(one("reveal", row.c.target, REVEALED), one("export", listed, EXPORTED))


def _still_valid(mailbox_id: ColumnElement[Any], last_at: ColumnElement[Any]) -> ColumnElement[bool]:
    """A stored password that is at least as old as the last read."""
    return (
        select(Secret.id)
        .where(
            Secret.owner_kind == OWNER_KIND,
            Secret.owner_id == mailbox_id,
            Secret.field == FIELD,
            Secret.created_at <= last_at,
        )
        .exists()
    )
