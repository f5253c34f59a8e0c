"""What the vault says about mailboxes."""

from __future__ import annotations

from sqlalchemy import select

from services.provisioner.domains.repository import next_generation
from services.provisioner.jobs import repository as jobs
from services.provisioner.models import Mailbox
from services.provisioner.servers import repository as servers
from shared.bus.binding import HandlerContext
from shared.contracts.vault_events import MailboxCredentialsChanged


async def on_credentials_changed(context: HandlerContext, event: MailboxCredentialsChanged) -> None:
    """Other passwords open the mailbox now: a new wish, for which the verifiers are fetched again.

    Nothing is taken from the event but whose it is: what the vault then answers is the newest set, whatever the order.
    """
    session = context.session
    row = await session.scalar(
        select(Mailbox).where(Mailbox.id == event.mailbox_id, Mailbox.workspace_id == event.workspace_id)
    )
    server = None if row is None else await servers.lock(session, row.server_id)
    if row is None or server is None or server.desired == "absent":
        return
    await session.refresh(row)
    if row.state == "removing":
        return
    row.generation = await next_generation(session, server)
    await jobs.begin(
        session, server, kind="change_credentials", subject_id=row.id, requested_by=event.requested_by,
        job_id=event.job_id,
    )  # fmt: skip
