"""uvicorn for the other Python variants, with its own protocol and otherwise as the gateway's process runs it."""

from __future__ import annotations

import argparse
from typing import Any

import uvicorn


def arguments(description: str | None) -> argparse.Namespace:
    """`directory` is the stage's; listens on `--port` of loopback or on `--socket`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("directory")
    parser.add_argument("--port", type=int)
    parser.add_argument("--socket")
    return parser.parse_args()


def serve(app: Any, chosen: argparse.Namespace) -> None:
    where: dict[str, Any] = (
        {"uds": chosen.socket} if chosen.socket else {"host": "127.0.0.1", "port": chosen.port}
    )
    uvicorn.run(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="on",
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=75,
        **where,
    )
