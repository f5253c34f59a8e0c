"""The three health pages on the key service's socket, for whoever watches processes. They tell nothing of keys.

A frame's length prefix is never `GET ` (that would be a frame of a gigabyte), so both live on one socket.
"""

from __future__ import annotations

import asyncio
from collections import Counter

HTTP_PREFIX = b"GET "


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, operations: Counter[tuple[str, str]]
) -> None:
    """Answers one HTTP/1.1 GET whose method was read already, and says that the connection ends."""
    asked = await reader.readuntil(b"\r\n\r\n")
    path = asked.split(b" ", 1)[0].split(b"?", 1)[0]
    if path in (b"/healthz", b"/readyz"):
        status, body, kind = "200 OK", '{"status": "ok"}', "application/json"
    elif path == b"/metrics":
        status, body, kind = "200 OK", metrics(operations), "text/plain; version=0.0.4"
    else:
        status, body, kind = "404 Not Found", '{"status": "not found"}', "application/json"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close"
    writer.write(f"{head}\r\n\r\n{body}".encode())
    await writer.drain()


def metrics(operations: Counter[tuple[str, str]]) -> str:
    """Prometheus text: operations by kind and outcome."""
    lines = ["# TYPE sendchief_keyservice_operations_total counter"]
    lines += [
        f'sendchief_keyservice_operations_total{{operation="{operation}",outcome="{outcome}"}} {count}'
        for (operation, outcome), count in sorted(operations.items())
    ]
    return "\n".join(lines) + "\n"
