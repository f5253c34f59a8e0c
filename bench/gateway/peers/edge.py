"""The gateway itself, whole. Its heartbeats come from here instead of from the bus, its snapshot from the stage."""

from __future__ import annotations

import asyncio

from bench.gateway.peers.serve import arguments, serve
from gateway.app import Gateway
from gateway.settings import GatewaySettings
from shared.contracts.auth_events import Heartbeat
from shared.observability.logging import configure_logging


class FedGateway(Gateway):
    async def start(self) -> None:
        await super().start()
        self._tasks.append(asyncio.create_task(self._pulse()))

    async def _pulse(self) -> None:
        self.authority.load(await self._snapshot())
        while True:
            self.authority.apply(Heartbeat(sequence=self.authority.sequence), 0.0)
            await asyncio.sleep(1)


if __name__ == "__main__":
    chosen = arguments(__doc__)
    settings = GatewaySettings()
    configure_logging("gateway", settings.log_level)
    serve(FedGateway(settings), chosen)
