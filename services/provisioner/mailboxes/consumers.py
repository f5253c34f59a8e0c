"""What the vault says about mailboxes."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.domains.repository import next_generation
from services.provisioner.jobs import repository as jobs
from services.provisioner.models import Mailbox, Server
from services.provisioner.servers import repository as servers
from shared.bus.binding import HandlerContext
from shared.contracts.vault_events import MailboxCredentialsChanged, MailboxWebmailEnded


async def on_credentials_changed(context: HandlerContext, event: MailboxCredentialsChanged) -> None:
    """Other passwords open the mailbox now: a new wish, for which the verifiers are fetched again.

    Nothing is taken from the event but whose it is: what the vault then answers is the newest set, whatever the order.
    """
    session = context.session
    found = await _locked(session, event.workspace_id, event.mailbox_id)
    if found is None:
        return
    row, server = found
    row.generation = await next_generation(session, server)
    await jobs.begin(
        session, server, kind="change_credentials", subject_id=row.id, requested_by=event.requested_by,
        job_id=event.job_id,
    )  # fmt: skip


async def on_webmail_ended(context: HandlerContext, event: MailboxWebmailEnded) -> None:
    """The host is to refuse these webmail sign-ins. The newest event stands for all before it."""
    session = context.session
    found = await _locked(session, event.workspace_id, event.mailbox_id)
    if found is None:
        return
    row, server = found
    if event.version > row.webmail_version:
        row.webmail_version, row.webmail_ended = event.version, event.ended
    row.generation = await next_generation(session, server)
    await jobs.begin(
        session, server, kind="end_webmail", subject_id=row.id, requested_by=event.requested_by,
        job_id=event.job_id,
    )  # fmt: skip


async def _locked(session: AsyncSession, workspace_id: str, mailbox_id: str) -> tuple[Mailbox, Server] | None:
    """The mailbox and its server, which is locked. None when one of them is leaving, or it is another workspace's."""
    row = await session.scalar(
        select(Mailbox).where(Mailbox.id == mailbox_id, Mailbox.workspace_id == workspace_id)
    )
    server = None if row is None else await servers.lock(session, row.server_id)
    if row is None or server is None or server.desired == "absent":
        return None
    await session.refresh(row)
    return None if row.state == "removing" else (row, server)
