"""What a service listens to: queue, event, handler. A service's `bindings.py` lists all of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.envelope import Envelope, EventData

_QUEUE = re.compile(r"[a-z]+\.[a-z0-9-]+")


@dataclass(frozen=True)
class HandlerContext:
    """What a handler works with. `session` is the worker role's transaction in which the inbox row was inserted;
    it commits when the handler returns. `resources` is the service's own wiring."""

    session: AsyncSession
    envelope: Envelope
    resources: Any
    service: str


Handler = Callable[[HandlerContext, Any], Awaitable[None]]


@dataclass(frozen=True)
class Binding:
    """One event type led to one queue. Several bindings may share a queue, if their events differ.

    `prefetch` is how many messages of the queue are handled at the same time.
    """

    queue: str
    event: type[EventData]
    handler: Handler
    prefetch: int = 8

    def __post_init__(self) -> None:
        if not _QUEUE.fullmatch(self.queue):
            raise ValueError(f"queue {self.queue!r} is not <service>.<purpose>")

    @property
    def service(self) -> str:
        return self.queue.split(".", 1)[0]


def by_queue(bindings: tuple[Binding, ...]) -> dict[str, dict[str, Binding]]:
    """queue → event type → binding. Two handlers for one type in one queue are a ValueError."""
    queues: dict[str, dict[str, Binding]] = {}
    for binding in bindings:
        types = queues.setdefault(binding.queue, {})
        if binding.event.type in types:
            raise ValueError(f"{binding.queue} binds {binding.event.type} twice")
        types[binding.event.type] = binding
    return queues
