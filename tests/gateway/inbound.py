"""The gateway's own protocol on a unix socket, before an application that notes what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from gateway.head import KnownHeads
from gateway.inbound import Inbound
from tests.gateway.edge import eventually

HOST = b"Host: sendchief.test\r\n"


class App:
    """Notes what it is asked, and answers `ok`, or as `answer` does."""

    def __init__(self, answer: Callable[[Any, Any, Any], Awaitable[None]] | None = None) -> None:
        self.known_heads = KnownHeads()
        self.seen: list[tuple[str, bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []
        self._answer = answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._answer is not None:
            await self._answer(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        headers = list(scope["headers"])
        self.seen.append((scope["method"], scope["raw_path"], scope["query_string"], headers, body))
        await say(send, b"ok")


async def say(send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(app: App, socket: Path, *, keep_alive: int = 75) -> AsyncIterator[ServerState]:
    config = uvicorn.Config(
        app, interface="asgi3", proxy_headers=False, log_config=None, timeout_keep_alive=keep_alive
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Inbound(config, state, {}), str(socket))
    try:
        yield state
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await eventually(lambda: not state.connections)


async def told(socket: Path, *pieces: bytes) -> bytes:
    """All that comes back for these pieces, sent one by one, until half a second of silence or the end."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        while True:
            async with asyncio.timeout(0.3 if answer else 3):
                got = await reader.read(65536)
            if not got:
                return answer + b"<end>"
            answer += got
    except TimeoutError:
        return answer
    finally:
        writer.transport.abort()


def get(path: bytes, *more: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(more) + b"\r\n"
