"""Receivers of webhooks: real HTTPS servers at 127.0.0.1 with a certificate of an authority of the test's own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.auth.sealing import Sealing
from services.auth.webhooks.delivery import Deliveries
from services.auth.webhooks.service import Webhooks
from shared.http.public import PORTS, PublicClient
from tests.auth.stage import Stage
from tests.auth.webhooks.process import NETWORKS, Names

HOST = "hooks.customer.com"
OK = 204


@dataclass(frozen=True)
class Message:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """Answers `status` with `headers`; while `open` is not set it takes messages and says nothing."""

    port: int = 0
    status: int = OK
    headers: str = ""
    messages: list[Message] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, host: str = HOST) -> str:
        return f"https://{host}:{self.port}/in"

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.messages]

    async def has(self, count: int) -> None:
        async with self.came, asyncio.timeout(20):
            await self.came.wait_for(lambda: len(self.messages) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        async with self.came:
            self.messages.append(Message(headers, body))
            self.came.notify_all()
        await self.open.wait()
        writer.write(f"HTTP/1.1 {self.status} X\r\n{self.headers}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(context: ssl.SSLContext) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.open.set()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.open.set()
        server.close()


def deliveries(
    auth: Stage, ca_file: Path, ports: Sequence[int], names: Names | None = None, timeout: float = 10.0
) -> Deliveries:
    """A worker's, without jitter."""
    client = PublicClient(names or Names(), refused_networks=NETWORKS, ca_file=ca_file, timeout=timeout)
    webhooks = Webhooks(auth.clock, Sealing("webhook", auth.settings.webhook_key), (*PORTS, *ports))
    return Deliveries(auth.worker.database, webhooks, client, jitter=lambda: 0.0)
