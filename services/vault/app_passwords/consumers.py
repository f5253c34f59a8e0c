"""What the provisioner says about app passwords."""

from __future__ import annotations

from services.vault.wiring import Resources
from shared.bus.binding import HandlerContext
from shared.contracts.provisioner_events import MailboxPasswordsUsed


async def on_passwords_used(context: HandlerContext, event: MailboxPasswordsUsed) -> None:
    resources: Resources = context.resources
    uses = {use.version: use.at for use in event.used}
    await resources.app_passwords.used(context.session, event.workspace_id, event.mailbox_id, uses)
