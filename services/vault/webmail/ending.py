"""Ends webmail before its time: unused tokens and running sessions of a mailbox, or those that one caller opened,
himself or by an API key that he made.

The provisioner is told, by mailbox, the ids of all sign-ins that were ended and could still be alive. Its host refuses
them from then on, whatever it has been told before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.data_keys import repository as data_keys
from services.vault.mailboxes import repository as mailboxes
from services.vault.models import Mailbox
from services.vault.webmail import repository
from services.vault.webmail.schemas import WebmailEnded
from shared.audit import record
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.vault_events import MailboxWebmailEnded
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id

OUTLIVED = timedelta(minutes=35)
"""A token is good for a minute, its session for thirty; the rest is for a host whose clock is slow."""


class WebmailEnding:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def of_mailbox(self, session: AsyncSession, actor: Identity, mailbox_id: str) -> WebmailEnded:
        """Ends all of the mailbox, whoever opened it. Raises NotFound."""
        mailbox = await mailboxes.lock(session, mailbox_id)
        if mailbox is None:
            raise NotFound
        (ended,) = await self._end(session, actor, [mailbox], None, None)
        return ended

    async def changed(
        self,
        session: AsyncSession,
        workspace_id: str,
        actor_id: str,
        *,
        may_open: bool,
        sequence: int,
        reason: str,
    ) -> None:
        """Remembers whether `actor_id` may open webmail; if not, ends what he has opened. What is older than what was
        heard before changes nothing."""
        if await data_keys.is_shredded(session, workspace_id):
            return
        opener = await repository.lock_opener(session, workspace_id, actor_id)
        if sequence <= opener.sequence:
            return
        opener.may_open, opener.sequence = may_open, sequence
        if may_open:
            return
        opened = await repository.opened_by(session, workspace_id, actor_id)
        locked = await mailboxes.lock_all(session, opened)
        await self._end(session, "vault", locked, actor_id, reason)

    async def _end(
        self,
        session: AsyncSession,
        actor: Identity | str,
        locked: Sequence[Mailbox],
        opened_by: str | None,
        reason: str | None,
    ) -> list[WebmailEnded]:
        """All of them by the same few statements; only the rows of the audit log follow one another."""
        now, ids = self._clock.now(), [mailbox.id for mailbox in locked]
        await repository.forget(session, ids, now - OUTLIVED)
        counts = await repository.end(session, ids, opened_by, now)
        ended = await repository.ended(session, list(counts))
        jobs = {mailbox.id: new_id("job") for mailbox in locked if counts[mailbox.id]}
        told = []
        for mailbox in locked:
            if mailbox.id in jobs:
                mailbox.webmail_version += 1
                told.append(self._told(mailbox, ended[mailbox.id], jobs[mailbox.id], actor))
        await outbox.emit_all(session, told)
        opener = {} if opened_by is None else {"opened_by": opened_by}
        for mailbox in locked:
            await record(
                session, workspace_id=mailbox.workspace_id, actor=actor, action="vault.webmail.ended",
                target=mailbox.id, outcome="ok", reason=reason, data={"sign_ins": counts[mailbox.id], **opener},
            )  # fmt: skip
        return [
            WebmailEnded(mailbox_id=one.id, sign_ins=counts[one.id], job_id=jobs.get(one.id))
            for one in locked
        ]

    def _told(self, mailbox: Mailbox, ended: list[str], job_id: str, actor: Identity | str) -> dict[str, Any]:
        event = MailboxWebmailEnded(
            workspace_id=mailbox.workspace_id,
            mailbox_id=mailbox.id,
            version=mailbox.webmail_version,
            ended=ended,
            job_id=job_id,
            requested_by=actor if isinstance(actor, str) else actor.subject,
        )
        return outbox.row_of(
            event,
            subject=mailbox.id,
            workspace_id=mailbox.workspace_id,
            aggregate_version=event.version,
        )
