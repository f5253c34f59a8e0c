"""Each change of what opens a mailbox has a number of its own, and is told to the provisioner."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.models import Mailbox
from shared.bus import outbox
from shared.contracts.vault_events import MailboxCredentialsChanged
from shared.identity import Identity
from shared.ids import new_id


class Change(NamedTuple):
    """`version` is that of the mailbox's set of passwords, and of the one that is made by this change. `job_id` is the
    provisioner's job, there as soon as it has heard of the change."""

    version: int
    job_id: str


async def change(session: AsyncSession, actor: Identity, mailbox: Mailbox) -> Change:
    """The next version. The mailbox's row must be locked."""
    mailbox.credentials_version += 1
    made = Change(mailbox.credentials_version, new_id("job"))
    await outbox.emit(
        session,
        MailboxCredentialsChanged(
            workspace_id=mailbox.workspace_id,
            mailbox_id=mailbox.id,
            version=made.version,
            job_id=made.job_id,
            requested_by=actor.subject,
        ),
        subject=mailbox.id,
        workspace_id=mailbox.workspace_id,
        aggregate_version=made.version,
    )
    return made
