"""The outside world, reached through the sandbox's control API alone."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx


class NeverHappened(RuntimeError):
    """Something awaited did not come about in time; the text says what was awaited and what was last seen."""


T = TypeVar("T")


async def until(
    what: str, look: Callable[[], Awaitable[T | None]], seconds: float = 30, pause: float = 0.2
) -> T:
    """Looks again and again until `look` gives something; what is true is awaited, never slept for."""
    deadline = time.monotonic() + seconds
    while (seen := await look()) is None:
        if time.monotonic() > deadline:
            raise NeverHappened(f"{what}: not within {seconds:.0f} s")
        await asyncio.sleep(pause)
    return seen


class World:
    """`endpoints` is what the sandbox wrote when it came up."""

    def __init__(self, endpoints_file: Path) -> None:
        self.endpoints: dict[str, Any] = json.loads(endpoints_file.read_text())
        self._client = httpx.AsyncClient(
            base_url=self.endpoints["control"],
            verify=ssl.create_default_context(cafile=self.endpoints["ca_file"]),
            headers={"Authorization": f"Bearer {self.endpoints['control_token']}"},
            timeout=30,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the control API; anything but success is an error."""
        answer = await self._client.request(method, path, json=body)
        if answer.is_error:
            raise RuntimeError(f"the sandbox answered {answer.status_code} to {method} {path}: {answer.text}")
        return answer.json() if answer.content else None

    async def acme_root(self) -> str:
        """The PEM certificates that issue the hosts' certificates."""
        answer = await self._client.get("/acme/root")
        answer.raise_for_status()
        return answer.text

    async def books(self, vendor: str) -> Any:
        """What the vendor's stand-in has on its books now."""
        return await self.call("GET", f"/books/{vendor}")
