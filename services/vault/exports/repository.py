"""Rows of exports, and the reading of what they hand out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ARRAY, Text, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import Export, Mailbox, Secret
from services.vault.secrets.service import OwnerKind

ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Redeemable:
    """What an export hands out. The ids are those of up to 100,000 rows, so nothing else of a row is kept."""

    secret_ids: list[str]
    mailbox_ids: frozenset[str]
    server_ids: frozenset[str]
    data_key_versions: frozenset[int]


class SealedRow(NamedTuple):
    """One credential as it is stored. A `Sealed`."""

    workspace_id: str
    owner_kind: str
    owner_id: str
    field: str
    version: int
    ciphertext: bytes
    server_id: str
    address: str | None
    display_name: str


class Link(NamedTuple):
    """A redeemed export, without its list of mailboxes."""

    workspace_id: str
    format: str
    reason: str


async def get(session: AsyncSession, export_id: str) -> Export | None:
    return await session.get(Export, export_id)


async def redeem(
    session: AsyncSession, export_id: str, token_hash: bytes, by: str, now: datetime
) -> Link | None:
    """Marks the link as used, if it is open, in one statement: of any number of callers one gets the row."""
    found = await session.execute(
        update(Export)
        .where(
            Export.id == export_id,
            Export.token_hash == token_hash,
            Export.redeemed_at.is_(None),
            Export.expires_at > now,
        )
        .values(redeemed_at=now, redeemed_by=by)
        .returning(Export.workspace_id, Export.format, Export.reason)
        .execution_options(synchronize_session=False)
    )
    row = found.one_or_none()
    return None if row is None else Link(*row)


async def redeemable(session: AsyncSession, export_id: str, owner_kind: OwnerKind, field: str) -> Redeemable:
    """For each mailbox of the export that is still there its current secret, or the newest pending one."""
    listed = select(func.unnest(Export.mailbox_ids)).where(Export.id == export_id).scalar_subquery()
    result = await session.stream(
        select(Secret.id, Mailbox.id, Mailbox.server_id, Secret.data_key_version)
        .join(Mailbox, Mailbox.id == Secret.owner_id)
        .where(
            Secret.owner_kind == owner_kind,
            Secret.field == field,
            Secret.owner_id.in_(listed),
            Mailbox.deleted_at.is_(None),
        )
        .ext(distinct_on(Secret.owner_id))
        .order_by(Secret.owner_id, (Secret.state == "current").desc(), Secret.version.desc())
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    secret_ids, mailbox_ids = [], []
    server_ids, data_key_versions = set(), set()
    async for part in result.partitions():  # row by row it would take a switch of tasks for each
        for secret_id, mailbox_id, server_id, version in part:
            secret_ids.append(secret_id)
            mailbox_ids.append(mailbox_id)
            server_ids.add(server_id)
            data_key_versions.add(version)
    return Redeemable(secret_ids, frozenset(mailbox_ids), frozenset(server_ids), frozenset(data_key_versions))


async def rows(session: AsyncSession, secret_ids: Sequence[str]) -> AsyncIterator[SealedRow]:
    """The secrets with their mailboxes, by address, through a server-side cursor."""
    # One array, not a list of parameters: PostgreSQL takes at most 32,767 of those.
    wanted = literal(list(secret_ids), ARRAY(Text))
    result = await session.stream(
        select(
            Secret.workspace_id, Secret.owner_kind, Secret.owner_id, Secret.field, Secret.version, Secret.ciphertext,
            Mailbox.server_id, Mailbox.address, Mailbox.display_name,
        )
        .join(Mailbox, Mailbox.id == Secret.owner_id)
        .where(Secret.id == func.any(wanted), Mailbox.deleted_at.is_(None))
        .order_by(Mailbox.address)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )  # fmt: skip
    async for part in result.partitions():
        for row in part:
            yield SealedRow(*row)


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(Export).where(Export.workspace_id == workspace_id))
