"""`python -m shared.web.serve services.auth.app`: runs `create_app()` of that module on the unix socket `SC_SOCKET`.

SIGTERM stops taking requests, lets those at work finish for `shutdown_seconds`, then ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI

from shared.settings import ServiceSettings


def listen(path: Path, mode: int) -> socket.socket:
    """A listening unix socket with these permissions from its first moment. A stale one is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    path.chmod(mode)
    listener.listen(1024)
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """Leaves signals to whoever runs it: uvicorn's own would end the process by the signal once more."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_of(app: FastAPI, settings: ServiceSettings) -> Server:
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            lifespan="on",
            timeout_graceful_shutdown=settings.shutdown_seconds,
            timeout_keep_alive=75,
        )
    )


async def serve(app: FastAPI) -> None:
    """Serves until SIGTERM or SIGINT."""
    settings: ServiceSettings = app.state.settings
    listener = listen(settings.socket, settings.socket_mode)
    server = server_of(app, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    try:
        await server.serve(sockets=[listener])
    finally:
        listener.close()
        settings.socket.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.web.serve", description=__doc__)
    parser.add_argument("module", help="module with create_app(), for example services.auth.app")
    arguments = parser.parse_args()
    app: FastAPI = importlib.import_module(arguments.module).create_app()
    # What is there at the start lives as long as the process: the garbage collector need not walk it again.
    gc.collect()
    gc.freeze()
    uvloop.run(serve(app))


if __name__ == "__main__":
    main()
