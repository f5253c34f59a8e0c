"""Requests to an application in this process. An event stream is left after its first event, or a second."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """`known` is what a caller can compare: status, media type and body."""

    status: int
    media_type: str
    body: bytes
    headers: dict[str, str]
    cookies: tuple[str, ...] = ()
    """`Set-Cookie` lines."""

    @property
    def known(self) -> tuple[int, str, bytes]:
        return self.status, self.media_type, self.body


async def call(app: Any, method: str, path: str, *, headers: Mapping[str, str], body: Any = None) -> Answer:
    """A body of bytes is sent as it is, with the caller's own Content-Type; anything else as JSON."""
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    if body is not None:
        lines.append((b"content-length", str(len(payload)).encode()))
        lines += [] if isinstance(body, bytes) else [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(b"host", b"sendchief.test"), *lines],
        "client": None,
        "server": ("sendchief.test", 443),
    }
    sent = asyncio.Event()
    enough = asyncio.Event()
    start: dict[str, Any] = {}
    pieces: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not sent.is_set():
            sent.set()
            return {"type": "http.request", "body": payload, "more_body": False}
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            pieces.append(message.get("body", b""))
            streaming = b"text/event-stream" in dict(start["headers"]).get(b"content-type", b"")
            if not message.get("more_body") or (streaming and b"data:" in pieces[-1]):
                enough.set()

    task = asyncio.create_task(app(scope, receive, send))
    waiting = asyncio.create_task(enough.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    waiting.cancel()
    if not task.done():
        await asyncio.wait({task}, timeout=0.5)
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    said = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    cookies = tuple(value.decode() for name, value in start["headers"] if name.lower() == b"set-cookie")
    return Answer(start["status"], said.get("content-type", ""), b"".join(pieces), said, cookies)
