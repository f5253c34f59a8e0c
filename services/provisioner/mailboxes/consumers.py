"""What the vault says about mailboxes."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.domains.repository import next_generation
from services.provisioner.jobs import repository as jobs
from services.provisioner.models import BEFORE_OPENING, Domain, Mailbox, MailboxVerifier, Server
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
    await _wish(session, row, server)
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
    await _wish(session, row, server)
    await jobs.begin(
        session, server, kind="end_webmail", subject_id=row.id, requested_by=event.requested_by,
        job_id=event.job_id,
    )  # fmt: skip


async def _wish(session: AsyncSession, row: Mailbox, server: Server) -> None:
    """The server has a new wish for the mailbox. One that is on its way to the server gets it when it is opened there:
    its verifiers are then fetched anew."""
    generation = await next_generation(session, server)
    if row.server_id == server.id:
        row.generation = generation
        return
    await session.execute(
        update(MailboxVerifier).where(MailboxVerifier.mailbox_id == row.id).values(generation=-1)
    )


async def _locked(session: AsyncSession, workspace_id: str, mailbox_id: str) -> tuple[Mailbox, Server] | None:
    """The mailbox, and the server that is to hear of it, which is locked. None when one of them is leaving, or it is
    another workspace's."""
    query = (
        select(Mailbox, Domain)
        .join(Domain, Domain.id == Mailbox.domain_id)
        .where(Mailbox.id == mailbox_id, Mailbox.workspace_id == workspace_id)
        .execution_options(populate_existing=True)
    )
    server: Server | None = None
    while found := (await session.execute(query)).one_or_none():
        row, domain = found[0], found[1]
        wanted = _server_of(row, domain)
        if server is not None and server.id == wanted:
            return None if row.state == "removing" else (row, server)
        server = await servers.lock(session, wanted)
        if server is None or server.desired == "absent":
            return None
    return None


def _server_of(row: Mailbox, domain: Domain) -> str:
    """Once a domain that moves is closed on the old server, it is the new one that carries out what is asked."""
    closed = domain.move_phase in BEFORE_OPENING and domain.move_generation is not None
    return domain.server_id if closed else row.server_id
