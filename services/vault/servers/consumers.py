"""What the provisioner says about servers."""

from __future__ import annotations

from services.vault.wiring import Resources
from shared.audit import record
from shared.bus.binding import HandlerContext
from shared.contracts.provisioner_events import ServerDeleted, ServerReady


async def on_server_ready(context: HandlerContext, event: ServerReady) -> None:
    resources: Resources = context.resources
    await resources.servers.ready(context.session, event.workspace_id, event.server_id, event.hostname)


async def on_server_deleted(context: HandlerContext, event: ServerDeleted) -> None:
    resources: Resources = context.resources
    gone = await resources.servers.deleted(context.session, event.workspace_id, event.server_id)
    if gone:
        await record(
            context.session, workspace_id=event.workspace_id, actor="vault", action="vault.secrets.deleted",
            target=event.server_id, outcome="ok", reason="server deleted", data={"secrets": gone},
        )  # fmt: skip
