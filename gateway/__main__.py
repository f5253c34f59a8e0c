"""`python -m gateway`: serves on the unix socket `SC_SOCKET` until SIGTERM."""

from __future__ import annotations

import sys

import uvloop

from gateway.app import Gateway
from gateway.server import freeze, server_of
from gateway.settings import GatewaySettings
from shared.observability.logging import configure_logging
from shared.web.serve import listen

STARTUP_FAILURE = 3


async def serve(settings: GatewaySettings) -> bool:
    """Whether it started at all."""
    listener = listen(settings.socket, settings.socket_mode)
    server = server_of(Gateway(settings), settings)
    freeze()
    try:
        await server.serve(sockets=[listener])
    finally:
        listener.close()
        settings.socket.unlink(missing_ok=True)
    return server.started


def main() -> None:
    settings = GatewaySettings()
    configure_logging("gateway", settings.log_level)
    if not uvloop.run(serve(settings)):
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    main()
