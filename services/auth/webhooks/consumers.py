"""Events that webhooks of their workspace are told, as `events.py` lists them."""

from __future__ import annotations

from services.auth.webhooks import repository
from services.auth.webhooks.events import OFFERED, message_of
from services.auth.wiring import WorkerResources
from shared.bus.binding import Binding, HandlerContext
from shared.contracts.envelope import EventData
from shared.ids import new_id

QUEUE = "auth.webhooks"


async def on_fact(context: HandlerContext, event: EventData) -> None:
    """A row for each webhook that chose the event, in the inbox's transaction: none is lost, none is there twice."""
    resources: WorkerResources = context.resources
    workspace_id = context.envelope.workspaceid
    if workspace_id is None:
        return
    now = resources.clock.now()
    for offered in OFFERED:
        if not isinstance(event, offered.event) or not offered.when(event):
            continue
        webhooks = await repository.wanting(context.session, workspace_id, offered.name)
        if not webhooks:
            continue
        common = {
            "workspace_id": workspace_id,
            "event_id": context.envelope.id,
            "event": offered.name,
            "body": message_of(offered, context.envelope, event),
            "created_at": now,
            "queued_at": now,
            "next_attempt_at": now,
        }
        rows = [{**common, "id": new_id("whd"), "webhook_id": webhook.id} for webhook in webhooks]
        await repository.queue(context.session, rows)


BINDINGS: tuple[Binding, ...] = tuple(
    Binding(QUEUE, event, on_fact) for event in dict.fromkeys(offered.event for offered in OFFERED)
)
