"""Threats that gateways tell of."""

from __future__ import annotations

from services.auth.threats import service
from shared.bus.binding import HandlerContext
from shared.contracts.gateway_events import ThreatObserved


async def on_threat_observed(context: HandlerContext, event: ThreatObserved) -> None:
    await service.store(context.session, event)
