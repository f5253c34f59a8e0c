"""Server-sent events (WHATWG HTML 9.2), resumable by `Last-Event-ID`, with a comment as heartbeat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header
from starlette.responses import StreamingResponse

from shared.errors import DomainError

HEARTBEAT_SECONDS = 10.0


class EventIdRefused(DomainError):
    status = 422
    code = "event_id_refused"
    title = "Last-Event-ID is not the id of an event of this stream"


@dataclass(frozen=True)
class ServerSentEvent:
    """`id` is what a client sends back as `Last-Event-ID`; `data` is JSON-encoded."""

    id: str
    event: str
    data: Any

    def encode(self) -> bytes:
        text = self.data if isinstance(self.data, str) else json.dumps(self.data, separators=(",", ":"))
        lines = "".join(f"data: {line}\n" for line in text.split("\n"))
        return f"id: {self.id}\nevent: {self.event}\n{lines}\n".encode()


async def _with_heartbeat(events: AsyncIterator[ServerSentEvent], heartbeat: float) -> AsyncIterator[bytes]:
    iterator = events.__aiter__()
    pending: asyncio.Future[ServerSentEvent] | None = None
    try:
        yield b": connected\n\n"
        while True:
            pending = pending or asyncio.ensure_future(iterator.__anext__())
            done, _ = await asyncio.wait({pending}, timeout=heartbeat)
            if not done:
                yield b": heartbeat\n\n"
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event.encode()
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


class EventStream(StreamingResponse):
    """`response_class` of a route that answers with one, so that the document says so."""

    media_type = "text/event-stream"


def event_stream(
    events: AsyncIterator[ServerSentEvent], *, heartbeat: float = HEARTBEAT_SECONDS
) -> EventStream:
    """A response that sends `events` as they come and ends when they end."""
    return EventStream(
        _with_heartbeat(events, heartbeat),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _last_event_id(
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)] = None,
) -> int:
    """The row id after which to go on; 0 for a first connection."""
    if last_event_id is None or last_event_id == "":
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
        raise EventIdRefused(field="header.Last-Event-ID", next_action="Leave it out to start afresh.")
    return int(last_event_id)


LastEventIdDep = Annotated[int, Depends(_last_event_id)]
