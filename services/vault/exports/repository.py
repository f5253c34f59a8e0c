"""Rows of exports, and the reading of what they hand out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import Export, Mailbox, Secret
from services.vault.secrets.service import OwnerKind

ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Redeemable:
    """Which secret answers for a mailbox."""

    secret_id: str
    mailbox_id: str
    server_id: str
    data_key_version: int


async def get(session: AsyncSession, export_id: str) -> Export | None:
    return await session.get(Export, export_id)


async def redeem(
    session: AsyncSession, export_id: str, token_hash: bytes, by: str, now: datetime
) -> Export | None:
    """Marks the link as used, if it is open, in one statement: of any number of callers one gets the row."""
    return await session.scalar(
        update(Export)
        .where(
            Export.id == export_id,
            Export.token_hash == token_hash,
            Export.redeemed_at.is_(None),
            Export.expires_at > now,
        )
        .values(redeemed_at=now, redeemed_by=by)
        .returning(Export)
        .execution_options(synchronize_session=False)
    )


async def redeemable(
    session: AsyncSession, mailbox_ids: Sequence[str], owner_kind: OwnerKind, field: str
) -> list[Redeemable]:
    """For each mailbox that is still there its current secret, or the newest pending one."""
    found = await session.execute(
        select(Secret.id, Mailbox.id, Mailbox.server_id, Secret.data_key_version)
        .join(Mailbox, Mailbox.id == Secret.owner_id)
        .where(
            Secret.owner_kind == owner_kind,
            Secret.field == field,
            Secret.owner_id.in_(mailbox_ids),
            Mailbox.deleted_at.is_(None),
        )
        .ext(distinct_on(Secret.owner_id))
        .order_by(Secret.owner_id, (Secret.state == "current").desc(), Secret.version.desc())
    )
    return [Redeemable(*row) for row in found]


async def rows(session: AsyncSession, secret_ids: Sequence[str]) -> AsyncIterator[tuple[Secret, Mailbox]]:
    """The secrets with their mailboxes, by address, through a server-side cursor."""
    query = (
        select(Secret, Mailbox)
        .join(Mailbox, Mailbox.id == Secret.owner_id)
        .where(Secret.id.in_(secret_ids), Mailbox.deleted_at.is_(None))
        .order_by(Mailbox.address)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    result = await session.stream(query)
    async for secret, mailbox in result:
        yield secret, mailbox
        session.expunge(secret)
        session.expunge(mailbox)


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(Export).where(Export.workspace_id == workspace_id))
