"""Another wish for a host, one generation later, applied."""

from __future__ import annotations

from services.provisioner.hosts.desired import MailboxDesired
from tests.provisioner.hosts.world import Server, World


async def with_mailboxes(made: World, server: Server, *boxes: MailboxDesired) -> None:
    """Applies these mailboxes, in the place of those with the same ids."""
    ids = {box.mailbox_id for box in boxes}
    kept = tuple(box for box in server.desired.mailboxes if box.mailbox_id not in ids)
    server.desired = server.desired.model_copy(
        update={"generation": server.desired.generation + 1, "mailboxes": (*kept, *boxes)}
    )
    server.facts = await made.ssh.apply(server.address, server.desired)


async def serve(made_world: World, server: Server, mail_service: str) -> None:
    """Applies what the host does for mail: `full`, `outbound_paused` or `read_only`."""
    server.desired = server.desired.model_copy(
        update={"generation": server.desired.generation + 1, "mail_service": mail_service}
    )
    server.facts = await made_world.ssh.apply(server.address, server.desired)
