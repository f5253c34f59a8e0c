"""The vendors' HTTPS servers: one ASGI application each on a port of 127.0.0.1, all in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from sandbox.tls import KeyPair


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the sandbox's own business, not each server's."""
        yield


class HttpServers:
    """Ports are kept in ``ports.json``: a server gets the one it had, when that is still free."""

    def __init__(self, directory: Path, pair: KeyPair, *, grace_seconds: int = 2) -> None:
        self._file = directory / "ports.json"
        self._pair = pair
        self._grace = grace_seconds
        self._ports: dict[str, int] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._sockets: dict[str, socket.socket] = {}
        self._running: list[tuple[_Server, asyncio.Task[None]]] = []

    def reserve(self, name: str) -> str:
        """Bind a port for `name` and give its URL; nothing answers until `start`."""
        listener = _bind(self._ports.get(name, 0))
        self._sockets[name] = listener
        self._ports[name] = listener.getsockname()[1]
        self._file.write_text(json.dumps(self._ports))
        return f"https://127.0.0.1:{self._ports[name]}"

    async def start(self, name: str, app: Any) -> None:
        """Serve `app` on the port reserved for `name`."""
        config = uvicorn.Config(
            app,
            ssl_certfile=str(self._pair.certificate),
            ssl_keyfile=str(self._pair.key),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=self._grace,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[self._sockets[name]]), name=f"serve {name}")
        self._running.append((server, task))
        while not server.started:
            if task.done():
                task.result()
                raise RuntimeError(f"the server of {name} ended at once")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Answer what is under way, then close."""
        for server, _ in self._running:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in self._running), return_exceptions=True)
        self._running.clear()
        for listener in self._sockets.values():
            listener.close()


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        if port == 0:
            raise
        listener.close()
        return _bind(0)
    return listener
