"""What others have found out about a server: its addresses' reputation, its names. Each wakes the reconciler."""

from __future__ import annotations

from sqlalchemy import select

from services.provisioner.models import Address, Domain, Server
from services.provisioner.reconciler.lease import idle_limit, wake
from shared.bus.binding import HandlerContext
from shared.contracts.dns_events import NamesetVerified
from shared.contracts.reputation_events import AddressChecked

STATE_OF = {"clean": "clean", "listed": "burned", "unknown": "checking"}


async def on_address_checked(context: HandlerContext, event: AddressChecked) -> None:
    """The verdict decides about an address in question; of one in use only the listings are kept."""
    # The server before what belongs to it, as the reconciler locks them: else each could wait for the other.
    await context.session.execute(
        select(Server.id, idle_limit()).where(Server.id == event.server_id).with_for_update()
    )
    row = await context.session.scalar(
        select(Address)
        .where(Address.id == event.address_id, Address.workspace_id == event.workspace_id)
        .with_for_update()
    )
    version = context.envelope.aggregateversion
    if row is None or (row.state != "checking" and version < row.checked_version):
        return
    row.checked_version = max(version, row.checked_version)
    row.checked_at = context.envelope.time
    row.verdict = event.verdict
    row.listings = [item.model_dump(mode="json") for item in event.listings]
    row.clean, row.unknown = list(event.clean), list(event.unknown)
    if row.state == "checking":
        row.state = STATE_OF[event.verdict]
    await wake(context.session, row.server_id)


async def on_nameset_verified(context: HandlerContext, event: NamesetVerified) -> None:
    """What is true in DNS for one published set. Older sets, and older news of the same set, change nothing."""
    server = await context.session.scalar(
        select(Server, idle_limit())
        .where(Server.id == event.server_id, Server.workspace_id == event.workspace_id)
        .with_for_update()
    )
    version = context.envelope.aggregateversion
    if server is None or (event.generation, version) < (
        server.names_seen_generation,
        server.names_seen_version,
    ):
        return
    server.names_seen_generation, server.names_seen_version = event.generation, version
    server.names_forward, server.names_reverse = event.forward, event.reverse
    server.names_withdrawn = event.withdrawn
    server.names_records = [record.model_dump(mode="json") for record in event.records]
    verified = {domain.domain_id: domain.verified for domain in event.domains}
    for row in await context.session.scalars(select(Domain).where(Domain.server_id == server.id)):
        row.dns_verified = verified.get(row.id, False)
    await context.session.flush()
    await wake(context.session, server.id)
