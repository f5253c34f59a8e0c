"""Waits for a server to answer, from the control plane's side of the bridge."""

from __future__ import annotations

import asyncio
import time

# A packet sent before the address exists waits a second for ARP, so ask anew instead of waiting.
CONNECT_S = 0.15


async def wait_for_ssh(address: str, seconds: float) -> float:
    """The seconds until the SSH banner came (RFC 4253, 4.2). Raises TimeoutError."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if await _banner(address):
            return time.monotonic() - started
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{address} gave no SSH banner within {seconds:.0f} s")


async def _banner(address: str) -> bool:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, 22), CONNECT_S)
    except (OSError, TimeoutError):
        return False
    try:
        return (await asyncio.wait_for(reader.read(4), 1.0)) == b"SSH-"
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
