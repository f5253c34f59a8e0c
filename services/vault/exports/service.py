"""One-time exports: asked for with a reason, redeemed once, on record before the first byte."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import audited, metrics
from services.vault.app_passwords import repository as app_passwords
from services.vault.app_passwords.making import new_row
from services.vault.errors import (
    ExportExpired,
    ExportNotReady,
    ExportTokenWrong,
    ExportUsed,
    NothingToExport,
    ServerNotReady,
    TooManyForFormat,
    TooManyNewPasswords,
    UnknownMailbox,
)
from services.vault.exports import repository
from services.vault.exports.catalogue import formats
from services.vault.exports.credentials import Credentials
from services.vault.exports.repository import Link, SealedRows
from services.vault.exports.schemas import ExportCreated, ExportView, NewExport
from services.vault.exports.writers import writer as writer_of
from services.vault.mailboxes import repository as mailboxes
from services.vault.mailboxes.changes import change
from services.vault.mailboxes.service import FIELD, OWNER_KIND
from services.vault.models import Export
from services.vault.read_limits.service import ReadLimits
from services.vault.secrets.service import Opener, SecretStore
from shared.audit import record
from shared.clock import Clock
from shared.db.database import Database
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id

LINK_LIFETIME = timedelta(minutes=15)
TOKEN_BYTES = 32
MOST_NEW_PASSWORDS = 1000
ROWS_AT_ONCE = 50
"""Opened without a pause, a fraction of a millisecond: then the event loop serves others, and the page ahead. The lines
of a page are written in one go, some five milliseconds: as long as a thread would hold the interpreter."""


class ExportIncomplete(Exception):
    """The workspace ended while its export was being written. The stream breaks off: the file must not look whole."""


@dataclass(frozen=True)
class Page:
    """Credentials that are on record, and what opens them."""

    rows: SealedRows
    opener: Opener


@dataclass(frozen=True)
class Redeemed:
    """All that the stream needs. The first page is settled in the transaction that uses the link up."""

    export_id: str
    link: Link
    actor: Identity
    first: Page


class Exports:
    def __init__(
        self, store: SecretStore, limits: ReadLimits, clock: Clock, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._random = random_bytes

    async def create(
        self, session: AsyncSession, actor: Identity, workspace_id: str, new: NewExport
    ) -> ExportCreated:
        """A link for the mailboxes that exist now.

        Raises UnknownMailbox, NothingToExport, TooManyForFormat, TooManyNewPasswords (422), ServerNotReady (409),
        TooManyReads (429).
        """
        wanted = None if new.mailbox_ids is None else sorted(set(new.mailbox_ids))
        found = await repository.choice(session, wanted)
        if wanted is not None and found.mailboxes < len(wanted):
            raise UnknownMailbox(
                "At least one of these mailboxes does not exist here.",
                field="body.mailbox_ids",
                next_action="Take the ids from the list of mailboxes.",
            )
        if not found.mailboxes:
            raise NothingToExport("The workspace has no mailbox.", next_action="Make a mailbox first.")
        _check_rows(new.format, found.mailboxes)
        if found.nameless:
            raise ServerNotReady("A mailbox in the list is on a server that has no name yet.")
        await self._limits.take(session, actor, workspace_id, "export")
        token = base64.urlsafe_b64encode(self._random(TOKEN_BYTES)).rstrip(b"=").decode()
        now = self._clock.now()
        export = Export(
            id=new_id("exp"),
            workspace_id=workspace_id,
            format=new.format,
            reason=new.reason,
            token_hash=_hash(token),
            created_by=actor.subject,
            created_at=now,
            expires_at=now + LINK_LIFETIME,
            main_password=new.main_password,
        )
        session.add(export)
        await session.flush()
        export.mailboxes = await repository.add_pages(session, export.id, workspace_id, wanted)
        made = 0 if new.main_password else await self._want_app_passwords(session, actor, export)
        await record(
            session, workspace_id=workspace_id, actor=actor, action="vault.export.created", target=export.id,
            outcome="ok", reason=new.reason,
            data={
                "format": new.format, "mailboxes": export.mailboxes, "main_password": new.main_password,
                "new_app_passwords": made,
            },
        )  # fmt: skip
        return ExportCreated(
            id=export.id,
            token=token,
            expires_at=export.expires_at,
            verified_on=formats()[new.format].verified_on,
            unverified=formats()[new.format].unverified,
        )

    async def _want_app_passwords(self, session: AsyncSession, actor: Identity, export: Export) -> int:
        """Sees to it that each mailbox has, or gets, an app password for the format; how many are new.

        They are made when the hosts' verifiers are fetched. One that is there serves again: what is exported twice for
        one tool is the same password, and is revoked by one call.
        """
        missing = await repository.without_tool(session, export.id, export.format, MOST_NEW_PASSWORDS + 1)
        if len(missing) > MOST_NEW_PASSWORDS:
            raise TooManyNewPasswords(
                f"One export makes at most {MOST_NEW_PASSWORDS} app passwords.",
                field="body.mailbox_ids",
                next_action="Name fewer mailboxes in each export, or ask for their own passwords by main_password.",
            )
        locked = await mailboxes.lock_all(session, missing)
        still = set(await repository.without_tool(session, export.id, export.format, MOST_NEW_PASSWORDS))
        wanted = [mailbox for mailbox in locked if mailbox.id in still]
        for mailbox in wanted:
            version = (await change(session, actor, mailbox)).version
            name = formats()[export.format].title
            session.add(new_row(actor, mailbox, version, name, self._clock.now(), tool=export.format))
        return len(wanted)

    async def view(self, session: AsyncSession, export_id: str) -> ExportView:
        export = await repository.get(session, export_id)
        if export is None:
            raise NotFound
        expired = export.expires_at <= self._clock.now()
        waiting = 0 if export.main_password else await repository.waiting(session, export_id, export.format)
        return ExportView.model_validate(
            {
                "id": export.id,
                "format": export.format,
                "mailboxes": len(export.mailbox_ids) if export.mailboxes is None else export.mailboxes,
                "main_password": export.main_password,
                "waiting": waiting,
                "reason": export.reason,
                "state": "used" if export.redeemed_at else "expired" if expired else "open",
                "created_by": export.created_by,
                "created_at": export.created_at,
                "expires_at": export.expires_at,
                "redeemed_at": export.redeemed_at,
                "redeemed_by": export.redeemed_by,
            }
        )

    async def redeem(self, session: AsyncSession, actor: Identity, export_id: str, token: str) -> Redeemed:
        """Uses the link up and records the first page of what it hands out; nothing is decrypted before the commit.

        Raises NotFound, ExportTokenWrong (403), ExportNotReady (409), ExportUsed and ExportExpired (410),
        KeyServiceUnavailable (503);
        after any of them the link is as it was.
        """
        now = self._clock.now()
        link = await repository.redeem(session, export_id, _hash(token), actor.subject, now)
        if link is None:
            raise await self._refusal(session, export_id, token)
        waiting = 0 if link.tool is None else await repository.waiting(session, export_id, link.tool)
        if waiting:
            raise ExportNotReady(
                f"The servers of {waiting} of {link.mailboxes} mailboxes do not accept their app passwords yet.",
                next_action="Wait until the export says waiting: 0, then send the same request again.",
            )
        await record(
            session, workspace_id=link.workspace_id, actor=actor, action="vault.export.redeemed",
            target=export_id, outcome="ok", reason=link.reason,
            data={
                "format": link.format, "mailboxes": link.mailboxes, "main_password": link.main_password,
            },
        )  # fmt: skip
        first = await self._page(session, actor, export_id, link, 0)
        metrics.EXPORTS_REDEEMED.labels(link.format).inc()
        return Redeemed(export_id, link, actor, first)

    async def _page(
        self, session: AsyncSession, actor: Identity, export_id: str, link: Link, number: int
    ) -> Page:
        """Records the page's credentials by the ids of their mailboxes, and takes the keys. Raises ExportIncomplete."""
        field = FIELD if link.tool is None else app_passwords.FIELD
        rows = await repository.page(session, export_id, number, OWNER_KIND, field, link.tool)
        if rows is None:
            raise ExportIncomplete(export_id)
        listed = list(rows.owner_id)
        access = await audited.grant(
            session, actor, workspace_id=link.workspace_id, purpose="export",
            action="vault.export.redeemed.credentials", target=export_id, owners=listed, reason=link.reason,
            data={"mailbox_ids": listed, "versions": list(rows.version)},
        )  # fmt: skip
        return Page(rows, await self._store.opener(access, OWNER_KIND, field, rows.ciphertext))

    async def _refusal(self, session: AsyncSession, export_id: str, token: str) -> Exception:
        export = await repository.get(session, export_id)
        if export is None:
            return NotFound()
        if export.token_hash != _hash(token):
            return ExportTokenWrong(
                "It is not this export's.", next_action="Use the token that came with this export."
            )
        if export.redeemed_at is not None:
            return ExportUsed(
                "A link works once; who used it, and when, is in the audit log.",
                next_action="Ask for a new export.",
            )
        return ExportExpired("A link lives 15 minutes.", next_action="Ask for a new export.")

    async def stream(self, database: Database, redeemed: Redeemed) -> AsyncIterator[bytes]:
        """The file, page by page. Each page is on record, for good, before it is decrypted, so that all that has left
        is in the audit log, also when the stream breaks off; besides it at most the page that was read ahead.

        No transaction is open while the reader takes his time. Raises ExportIncomplete, KeyServiceUnavailable and
        ConnectionError in the middle.
        """
        writer = writer_of(redeemed.link.format)
        yield writer.begin().encode()
        page: Page | None = redeemed.first
        number = 0
        while page is not None:
            number += 1
            ahead = asyncio.create_task(self._recorded(database, redeemed, number))
            try:
                yield writer.rows(await _opened(page)).encode()
                page = await ahead
            finally:
                ahead.cancel()
        yield writer.end().encode()

    async def _recorded(self, database: Database, redeemed: Redeemed, number: int) -> Page | None:
        """The page with its record committed; None after the last."""
        link = redeemed.link
        if number >= link.pages:
            return None
        async with database.transaction(workspace_id=link.workspace_id) as session:
            return await self._page(session, redeemed.actor, redeemed.export_id, link, number)


async def _opened(page: Page) -> Credentials:
    """The page, in plaintext from here on."""
    rows = page.rows
    sealed = list(zip(rows.owner_id, rows.version, rows.ciphertext, strict=True))
    passwords: list[str] = []
    for start in range(0, len(sealed), ROWS_AT_ONCE):
        for password in page.opener.open(sealed[start : start + ROWS_AT_ONCE]):
            passwords.append(password.reveal().decode())
            password.wipe()
        await asyncio.sleep(0)
    return Credentials(rows.address, rows.display_name, rows.hostname, passwords)


def _check_rows(name: str, rows: int) -> None:
    most = formats()[name].max_rows
    if most is not None and rows > most:
        raise TooManyForFormat(
            f"{formats()[name].title} takes {most} rows in one file, and these are {rows}.",
            field="body.mailbox_ids",
            next_action=f"Name at most {most} mailboxes in each export.",
        )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
