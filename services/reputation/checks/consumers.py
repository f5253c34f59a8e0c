"""Facts of others that begin, widen or end the watch over an address."""

from __future__ import annotations

from ipaddress import ip_address

from services.reputation.checks.repository import Repository
from services.reputation.checks.service import Checks
from services.reputation.wiring import Resources
from shared.bus import HandlerContext
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.provisioner_events import AddressReleased, AddressReserved, ServerDeleted, ServerReady


async def on_address_reserved(context: HandlerContext, event: AddressReserved) -> None:
    resources: Resources = context.resources
    await Checks(context.session, resources.clock, resources.pace).reserved(event, resources.checker)


async def on_server_ready(context: HandlerContext, event: ServerReady) -> None:
    resources: Resources = context.resources
    addresses = [str(ip_address(event.ipv4)), str(ip_address(event.ipv6))]
    await Repository(context.session).make_live(
        event.workspace_id, event.server_id, addresses, resources.clock.now()
    )


async def on_address_released(context: HandlerContext, event: AddressReleased) -> None:
    """It may come before the reservation does: then it stays as a released address."""
    rows = Repository(context.session)
    if await rows.has_ended(event.workspace_id, event.server_id):
        return
    address = ip_address(event.address)
    await rows.add_address(
        id=event.address_id,
        workspace_id=event.workspace_id,
        server_id=event.server_id,
        address=str(address),
        family=address.version,
        attempt=0,
        state="released",
    )
    await rows.release(event.workspace_id, event.address_id)


async def on_server_deleted(context: HandlerContext, event: ServerDeleted) -> None:
    await Repository(context.session).end_server(event.workspace_id, event.server_id)


async def on_workspace_deleted(context: HandlerContext, event: WorkspaceDeleted) -> None:
    await Repository(context.session).end_workspace(event.workspace_id)
