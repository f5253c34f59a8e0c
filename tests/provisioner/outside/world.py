"""All of it in one place, and a way to reach it from another process, so that it survives the worker's death."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.provisioner.outside.billing import MemoryBilling
from tests.provisioner.outside.cloud import MemoryCloud
from tests.provisioner.outside.hosts import MemoryHosts
from tests.provisioner.outside.self_test import MemorySelfTest
from tests.provisioner.outside.vault import MemoryVault


class Outside:
    """Everything that is not ours, in one place."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.cloud = MemoryCloud(clock)
        self.host = MemoryHosts(self.cloud)
        self.vault = MemoryVault()
        self.billing = MemoryBilling()
        self.self_test = MemorySelfTest()

    async def serve(self, socket: Path) -> asyncio.Server:
        """Makes every method callable over a unix socket."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            size = int.from_bytes(await reader.readexactly(4))
            port, method, args, kwargs = pickle.loads(await reader.readexactly(size))  # noqa: S301 (own process)
            try:
                reply: Any = (True, await getattr(getattr(self, port), method)(*args, **kwargs))
            except Exception as error:
                reply = (False, (type(error), error.args, error.__dict__))
            body = pickle.dumps(reply)
            writer.write(len(body).to_bytes(4) + body)
            await writer.drain()
            writer.close()

        return await asyncio.start_unix_server(answer, str(socket))


class Remote:
    """One port of an `Outside` in another process."""

    def __init__(self, socket: Path, port: str) -> None:
        self._socket = socket
        self._port = port

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*args: Any, **kwargs: Any) -> Any:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
            body = pickle.dumps((self._port, method, args, kwargs))
            writer.write(len(body).to_bytes(4) + body)
            await writer.drain()
            size = int.from_bytes(await reader.readexactly(4))
            ok, value = pickle.loads(await reader.readexactly(size))  # noqa: S301 (own process)
            writer.close()
            if ok:
                return value
            kind, arguments, state = value
            error = kind.__new__(kind, *arguments)
            error.args = arguments
            error.__dict__.update(state)
            raise error

        return call
