"""uvicorn as the gateway runs it: its server, with a protocol of our own."""

from __future__ import annotations

import gc

import uvicorn
from starlette.types import ASGIApp

from gateway.inbound import Inbound
from gateway.settings import GatewaySettings


def server_of(app: ASGIApp, settings: GatewaySettings) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="on",
        http=Inbound,
        ws="none",
        loop="none",
        timeout_graceful_shutdown=settings.shutdown_seconds,
        timeout_keep_alive=75,
    )
    return uvicorn.Server(config)


def freeze() -> None:
    """What is there at the start lives as long as the process: the garbage collector need not walk it again."""
    gc.collect()
    gc.freeze()
