"""`python -m gateway`: serves on the unix socket `SC_SOCKET` until SIGTERM."""

from __future__ import annotations

import sys

import uvicorn
import uvloop

from gateway.app import Gateway
from gateway.settings import GatewaySettings
from shared.observability.logging import configure_logging
from shared.web.serve import listen

STARTUP_FAILURE = 3


async def serve(settings: GatewaySettings) -> bool:
    """Whether it started at all."""
    listener = listen(settings.socket, settings.socket_mode)
    config = uvicorn.Config(
        Gateway(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="on",
        http="httptools",
        loop="none",
        timeout_graceful_shutdown=settings.shutdown_seconds,
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)
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
