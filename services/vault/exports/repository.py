"""Rows of exports, and the reading of what they hand out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import Export, ExportPage
from services.vault.secrets.service import OwnerKind

FIRST_PAGE, MAILBOXES_PER_PAGE = 500, 4000
"""The first page is short, so that the file begins soon. The others are as long as one row of the audit log may name
all their mailboxes; two pages are in memory at once."""

# Row security shows the caller's workspace and nothing else.
_CHOICE = text("""
    select count(*), count(*) filter (where server.hostname is null)
    from mailbox left join server on server.id = mailbox.server_id and server.deleted_at is null
    where mailbox.deleted_at is null and (cast(:chosen as text[]) is null or mailbox.id = any(:chosen))
""")
_ADD_PAGES = text("""
    insert into export_page (export_id, number, workspace_id, mailbox_ids)
    select cast(:export_id as text), (place - 1 + cast(:size as int) - cast(:first as int)) / cast(:size as int),
           cast(:workspace_id as text), array_agg(id order by place)
    from (
        select id, row_number() over (order by address, id) as place from mailbox
        where deleted_at is null and (cast(:chosen as text[]) is null or id = any(:chosen))
    ) as listed
    group by 2
    returning cardinality(mailbox_ids)
""")
_ROWS = """
    select distinct on (place) owner_id, version, ciphertext, address, display_name, hostname
    from export_page
    cross join unnest(mailbox_ids) with ordinality as listed (mailbox_id, place)
    join mailbox on mailbox.id = mailbox_id and mailbox.deleted_at is null
    join server on server.id = mailbox.server_id and server.deleted_at is null and hostname is not null
    join secret on secret.workspace_id = mailbox.workspace_id and owner_kind = :owner_kind
        and owner_id = mailbox.id and field = :field
    where export_id = :export_id and number = :number"""
_OF_THE_TOOL = """
    and secret.version = (
        select app_password.version from app_password
        where app_password.mailbox_id = mailbox.id and tool = :tool and revoked_version is null)"""
_IN_ORDER = """
    order by place, (state = 'current') desc, version desc"""
_OF_MAILBOXES = text(_ROWS + _IN_ORDER)
_OF_TOOL = text(_ROWS + _OF_THE_TOOL + _IN_ORDER)
_WITHOUT_TOOL = text("""
    select mailbox.id from export_page cross join unnest(mailbox_ids) as listed (mailbox_id)
    join mailbox on mailbox.id = mailbox_id and mailbox.deleted_at is null
    where export_id = :export_id and not exists (
        select from app_password
        where app_password.mailbox_id = mailbox.id and tool = :tool and revoked_version is null)
    order by mailbox.id limit :most
""")
_WAITING = text("""
    select count(*) from export_page cross join unnest(mailbox_ids) as listed (mailbox_id)
    join mailbox on mailbox.id = mailbox_id and mailbox.deleted_at is null
    where export_id = :export_id and not exists (
        select from app_password join secret on secret.version = app_password.version
            and owner_kind = 'mailbox' and owner_id = mailbox.id and field = 'app_password' and state = 'current'
        where app_password.mailbox_id = mailbox.id and tool = :tool and revoked_version is null)
""")


class Choice(NamedTuple):
    """How many mailboxes there are to be exported, and how many of those are on a server without a name."""

    mailboxes: int
    nameless: int


class SealedRows(NamedTuple):
    """The credentials of a page as they are stored, by column."""

    owner_id: Sequence[str]
    version: Sequence[int]
    ciphertext: Sequence[bytes]
    address: Sequence[str]
    display_name: Sequence[str]
    hostname: Sequence[str]


class Link(NamedTuple):
    """A redeemed export."""

    workspace_id: str
    format: str
    reason: str
    mailboxes: int
    pages: int
    main_password: bool

    @property
    def tool(self) -> str | None:
        """Whose app passwords it hands out; None for the mailboxes' own."""
        return None if self.main_password else self.format


async def choice(session: AsyncSession, mailbox_ids: Sequence[str] | None) -> Choice:
    """Of the list, or of all."""
    return Choice(*(await session.execute(_CHOICE, {"chosen": mailbox_ids})).one())


async def add_pages(
    session: AsyncSession, export_id: str, workspace_id: str, mailbox_ids: Sequence[str] | None
) -> int:
    """Fixes the mailboxes of an export, in the order of their addresses; how many they are."""
    made = await session.execute(
        _ADD_PAGES,
        {
            "export_id": export_id,
            "workspace_id": workspace_id,
            "first": FIRST_PAGE,
            "size": MAILBOXES_PER_PAGE,
            "chosen": mailbox_ids,
        },
    )
    return sum(made.scalars())


async def get(session: AsyncSession, export_id: str) -> Export | None:
    return await session.get(Export, export_id)


async def redeem(
    session: AsyncSession, export_id: str, token_hash: bytes, by: str, now: datetime
) -> Link | None:
    """Marks the link as used, if it is open, in one statement: of any number of callers one gets the row."""
    pages = select(func.count()).where(ExportPage.export_id == Export.id).scalar_subquery()
    found = await session.execute(
        update(Export)
        .where(
            Export.id == export_id,
            Export.token_hash == token_hash,
            Export.redeemed_at.is_(None),
            Export.expires_at > now,
            Export.mailboxes.is_not(None),
        )
        .values(redeemed_at=now, redeemed_by=by)
        .returning(
            Export.workspace_id,
            Export.format,
            Export.reason,
            Export.mailboxes,
            pages.label("pages"),
            Export.main_password,
        )
        .execution_options(synchronize_session=False)
    )
    row = found.one_or_none()
    if row is None:
        return None
    return Link(row.workspace_id, row.format, row.reason, row.mailboxes or 0, row.pages, row.main_password)


async def without_tool(session: AsyncSession, export_id: str, tool: str, most: int) -> Sequence[str]:
    """Mailboxes of the export that have no app password for the tool; up to `most`."""
    found = await session.scalars(_WITHOUT_TOOL, {"export_id": export_id, "tool": tool, "most": most})
    return found.all()


async def waiting(session: AsyncSession, export_id: str, tool: str) -> int:
    """How many of its mailboxes are not opened yet by an app password for the tool."""
    return int(await session.scalar(_WAITING, {"export_id": export_id, "tool": tool}) or 0)


async def page(
    session: AsyncSession, export_id: str, number: int, owner_kind: OwnerKind, field: str, tool: str | None
) -> SealedRows | None:
    """For each mailbox of the page that is still there its current secret, or the newest pending one; with a `tool`
    that of its app password. None when there is no such page, as when the workspace has ended."""
    page_of = {"export_id": export_id, "number": number, "owner_kind": owner_kind, "field": field}
    found = await (
        session.execute(_OF_MAILBOXES, page_of)
        if tool is None
        else session.execute(_OF_TOOL, page_of | {"tool": tool})
    )
    if rows := found.all():
        return SealedRows(*zip(*rows, strict=True))
    if await session.get(ExportPage, (export_id, number)) is None:
        return None
    return SealedRows([], [], [], [], [], [])


async def delete_of_workspace(session: AsyncSession, workspace_id: str) -> None:
    await session.execute(delete(Export).where(Export.workspace_id == workspace_id))
