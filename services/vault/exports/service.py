"""One-time exports: asked for with a reason, redeemed once, on record before the first byte."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import audited, metrics
from services.vault.errors import (
    ExportExpired,
    ExportTokenWrong,
    ExportUsed,
    NothingToExport,
    ServerNotReady,
    TooManyForFormat,
    UnknownMailbox,
)
from services.vault.exports import repository
from services.vault.exports.catalogue import formats
from services.vault.exports.credential import credential
from services.vault.exports.schemas import ExportCreated, ExportView, NewExport
from services.vault.exports.writers import writer as writer_of
from services.vault.mailboxes import repository as mailboxes
from services.vault.mailboxes.service import FIELD, OWNER_KIND
from services.vault.models import Export
from services.vault.read_limits.service import ReadLimits
from services.vault.secrets.service import Opener, SecretStore
from services.vault.servers import repository as servers
from shared.audit import record
from shared.clock import Clock
from shared.db.database import Database
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id

LINK_LIFETIME = timedelta(minutes=15)
TOKEN_BYTES = 32
CHUNK_BYTES = 64 * 1024


class ExportIncomplete(Exception):
    """A credential changed while it was being written. The stream breaks off: the file must not look whole."""


@dataclass(frozen=True)
class Redeemed:
    """All that the stream needs, settled in the transaction that recorded the redemption."""

    export_id: str
    format: str
    workspace_id: str
    secret_ids: Sequence[str]
    hostnames: Mapping[str, str]
    opener: Opener


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

        Raises UnknownMailbox, NothingToExport, TooManyForFormat (422), ServerNotReady (409), TooManyReads (429).
        """
        wanted = None if new.mailbox_ids is None else sorted(set(new.mailbox_ids))
        found = await mailboxes.existing(session, wanted)
        if wanted is not None and len(found) < len(wanted):
            raise UnknownMailbox(
                "At least one of these mailboxes does not exist here.",
                field="body.mailbox_ids",
                next_action="Take the ids from the list of mailboxes.",
            )
        if not found:
            raise NothingToExport("The workspace has no mailbox.", next_action="Make a mailbox first.")
        _check_rows(new.format, len(found))
        known = await servers.hostnames(session, {mailbox.server_id for mailbox in found})
        if any(mailbox.server_id not in known for mailbox in found):
            raise ServerNotReady("A mailbox in the list is on a server that has no name yet.")
        await self._limits.take(session, actor, workspace_id, "export")
        token = base64.urlsafe_b64encode(self._random(TOKEN_BYTES)).rstrip(b"=").decode()
        now = self._clock.now()
        export = Export(
            id=new_id("exp"),
            workspace_id=workspace_id,
            format=new.format,
            mailbox_ids=[mailbox.id for mailbox in found],
            reason=new.reason,
            token_hash=_hash(token),
            created_by=actor.subject,
            created_at=now,
            expires_at=now + LINK_LIFETIME,
        )
        session.add(export)
        await record(
            session, workspace_id=workspace_id, actor=actor, action="vault.export.created", target=export.id,
            outcome="ok", reason=new.reason, data={"format": new.format, "mailboxes": len(found)},
        )  # fmt: skip
        return ExportCreated(
            id=export.id,
            token=token,
            expires_at=export.expires_at,
            verified_on=formats()[new.format].verified_on,
            unverified=formats()[new.format].unverified,
        )

    async def view(self, session: AsyncSession, export_id: str) -> ExportView:
        export = await repository.get(session, export_id)
        if export is None:
            raise NotFound
        expired = export.expires_at <= self._clock.now()
        return ExportView.model_validate(
            {
                "id": export.id,
                "format": export.format,
                "mailboxes": len(export.mailbox_ids),
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
        """Uses the link up and records every credential that it hands out; nothing is decrypted before the commit.

        Raises NotFound, ExportTokenWrong (403), ExportUsed and ExportExpired (410), KeyServiceUnavailable (503);
        after any of them the link is as it was.
        """
        now = self._clock.now()
        export = await repository.redeem(session, export_id, _hash(token), actor.subject, now)
        if export is None:
            raise await self._refusal(session, export_id, token)
        chosen = await repository.redeemable(session, export_id, OWNER_KIND, FIELD)
        access = await audited.grant(
            session, actor, workspace_id=export.workspace_id, purpose="export", action="vault.export.redeemed",
            target=export_id, owners=chosen.mailbox_ids, reason=export.reason,
            data={"format": export.format, "mailboxes": len(chosen.mailbox_ids)},
        )  # fmt: skip
        opener = await self._store.opener(access, chosen.data_key_versions, len(chosen.secret_ids))
        hostnames = await servers.hostnames(session, chosen.server_ids)
        metrics.EXPORTS_REDEEMED.labels(export.format).inc()
        return Redeemed(
            export_id=export_id,
            format=export.format,
            workspace_id=export.workspace_id,
            secret_ids=chosen.secret_ids,
            hostnames=hostnames,
            opener=opener,
        )

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
        """The file, in pieces of about 64 KiB, decrypting as it goes. Raises ExportIncomplete in the middle when
        a credential that was recorded is gone."""
        writer = writer_of(redeemed.format)
        gathered = bytearray(writer.begin().encode())
        written = 0
        async with database.transaction(workspace_id=redeemed.workspace_id) as session:
            async for sealed in repository.rows(session, redeemed.secret_ids):
                password = await self._store.open_later(session, redeemed.opener, sealed)
                row = credential(
                    sealed.address or "",
                    sealed.display_name,
                    redeemed.hostnames[sealed.server_id],
                    password.reveal().decode(),
                )
                password.wipe()
                gathered += writer.row(row).encode()
                written += 1
                if len(gathered) >= CHUNK_BYTES:
                    yield bytes(gathered)
                    gathered.clear()
        if written != len(redeemed.secret_ids):
            raise ExportIncomplete(redeemed.export_id)
        gathered += writer.end().encode()
        yield bytes(gathered)


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
