"""What the provisioner says about mailboxes."""

from __future__ import annotations

from services.vault.wiring import Resources
from shared.audit import record
from shared.bus.binding import HandlerContext
from shared.contracts.provisioner_events import MailboxCredentialApplied, MailboxMoved, MailboxRemoved


async def on_credential_applied(context: HandlerContext, event: MailboxCredentialApplied) -> None:
    resources: Resources = context.resources
    await resources.mailboxes.applied(context.session, event.workspace_id, event.mailbox_id, event.version)


async def on_mailbox_moved(context: HandlerContext, event: MailboxMoved) -> None:
    resources: Resources = context.resources
    await resources.mailboxes.moved(
        context.session,
        event.workspace_id,
        event.mailbox_id,
        event.server_id,
        context.envelope.aggregateversion,
    )


async def on_mailbox_removed(context: HandlerContext, event: MailboxRemoved) -> None:
    resources: Resources = context.resources
    gone = await resources.mailboxes.removed(context.session, event.workspace_id, event.mailbox_id)
    if gone:
        await record(
            context.session, workspace_id=event.workspace_id, actor="vault", action="vault.secrets.deleted",
            target=event.mailbox_id, outcome="ok", reason="mailbox removed", data={"secrets": gone},
        )  # fmt: skip
