"""Server-sent events."""

import asyncio
from collections.abc import AsyncIterator

from shared.web.sse import ServerSentEvent, event_stream


async def test_a_stream_sends_heartbeats_and_ids() -> None:
    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent("7", "step", {"name": "boot"})
        await asyncio.sleep(0.1)
        yield ServerSentEvent("8", "job", "two\nlines")

    chunks = [chunk async for chunk in event_stream(events(), heartbeat=0.03).body_iterator]
    whole = b"".join(chunk.encode() if isinstance(chunk, str) else bytes(chunk) for chunk in chunks).decode()
    assert 'id: 7\nevent: step\ndata: {"name":"boot"}\n\n' in whole
    assert ": heartbeat\n\n" in whole
    assert "id: 8\nevent: job\ndata: two\ndata: lines\n\n" in whole
