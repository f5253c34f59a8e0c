"""The provisioner asks for names, or for their withdrawal."""

from __future__ import annotations

from services.dns.servers import service
from shared.bus.binding import HandlerContext
from shared.contracts.provisioner_events import ServerDnsDesired


async def on_dns_desired(context: HandlerContext, event: ServerDnsDesired) -> None:
    await service.accept(
        context.session, event, version=context.envelope.aggregateversion, rules=context.resources.rules,
        now=context.resources.clock.now(),
    )  # fmt: skip
