"""The gateway itself, whole. Its heartbeats come from here instead of from the bus, its snapshot from the stage."""

from __future__ import annotations

import argparse
import asyncio
import socket
from contextlib import closing
from pathlib import Path

import uvloop

from bench.gateway.peers.serve import arguments
from gateway.app import Gateway
from gateway.server import freeze, server_of
from gateway.settings import GatewaySettings
from shared.contracts.auth_events import Heartbeat
from shared.observability.logging import configure_logging
from shared.web.serve import listen


class FedGateway(Gateway):
    async def start(self) -> None:
        await super().start()
        self._tasks.append(asyncio.create_task(self._pulse()))

    async def _pulse(self) -> None:
        self.authority.load(await self._snapshot())
        while True:
            self.authority.apply(Heartbeat(sequence=self.authority.sequence), 0.0)
            await asyncio.sleep(1)


async def main(chosen: argparse.Namespace) -> None:
    """As `python -m gateway`, on loopback too: wrk speaks no unix sockets."""
    settings = GatewaySettings()
    configure_logging("gateway", settings.log_level)
    server = server_of(FedGateway(settings), settings)
    freeze()
    with closing(_listener(chosen)) as listener:
        await server.serve(sockets=[listener])


def _listener(chosen: argparse.Namespace) -> socket.socket:
    if chosen.socket:
        return listen(Path(chosen.socket), 0o600)
    listener = socket.create_server(("127.0.0.1", chosen.port), backlog=4096)
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    uvloop.run(main(arguments(__doc__)))
