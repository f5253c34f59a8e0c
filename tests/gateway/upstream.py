"""A service that answers by script, to the byte: split, stalled, lying, doubled, broken off."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

End = Literal["keep", "close", "reset", "stall"]
REQUEST_ID = b"@REQUEST-ID@"


@dataclass(frozen=True)
class Script:
    """One answer. `@REQUEST-ID@` in it becomes the id of the request. `late` follows after a moment.

    `end` is what the service does afterwards: take the next request, hang up, reset, or say nothing any more.
    """

    answer: bytes
    cuts: tuple[int, ...] = ()
    end: End = "keep"
    late: bytes = b""


@dataclass
class Upstream:
    """`scripts` by the number in the query (`?n=…`); `asked` is how often each number was asked for."""

    scripts: dict[int, Script]
    asked: list[int] = field(default_factory=list)
    open: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await self._answered(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        found, told = re.search(rb"\bn=(\d+)", head), re.search(rb"x-request-id: (\S+)", head)
        number = int(found[1]) if found else 0
        self.asked.append(number)
        script = self.scripts[number]
        answer = script.answer.replace(REQUEST_ID, told[1] if told else b"none")
        for piece in split(answer, script.cuts):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if script.late:
            await asyncio.sleep(0.002)
            writer.write(script.late)
        if script.end == "stall":
            await reader.read()
        if script.end == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return script.end == "keep"


def split(data: bytes, cuts: tuple[int, ...]) -> list[bytes]:
    points = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(points)]


@asynccontextmanager
async def scripted(path: Path, scripts: dict[int, Script] | None = None) -> AsyncIterator[Upstream]:
    upstream = Upstream(scripts if scripts is not None else {})
    server = await asyncio.start_unix_server(upstream, str(path), limit=1 << 20)
    try:
        yield upstream
    finally:
        server.close()
