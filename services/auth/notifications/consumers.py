"""Events that people in charge of a workspace get a mail about."""

from __future__ import annotations

from typing import Any

from services.auth.notifications import repository
from services.auth.wiring import WorkerResources
from shared.bus.binding import HandlerContext
from shared.contracts.provisioner_events import ServerReady, SubscriptionActivated
from shared.contracts.reputation_events import AddressListed


async def on_server_ready(context: HandlerContext, event: ServerReady) -> None:
    data = {"hostname": event.hostname, "ipv4": event.ipv4, "ipv6": event.ipv6}
    await _tell(context, "server_ready", event.server_id, event.workspace_id, data)


async def on_subscription_activated(context: HandlerContext, event: SubscriptionActivated) -> None:
    data = {"plan": event.plan, "zone": event.zone}
    await _tell(context, "subscription_activated", event.subscription_id, event.workspace_id, data)


async def on_address_listed(context: HandlerContext, event: AddressListed) -> None:
    data = {"address": event.address, "lists": [listing.blacklist for listing in event.listings]}
    await _tell(context, "address_listed", event.address_id, event.workspace_id, data)


async def _tell(
    context: HandlerContext, kind: str, reference: str, workspace_id: str, data: dict[str, Any]
) -> None:
    """One mail to each owner and admin."""
    resources: WorkerResources = context.resources
    now = resources.clock.now()
    for account_id in await repository.people_in_charge(context.session, workspace_id):
        repository.enqueue(
            context.session,
            kind,
            reference,
            now=now,
            account_id=account_id,
            data={"workspace_id": workspace_id, **data},
        )
