"""A little service for the bus tests: it counts numbers, and can be told to die or to fail."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import ClassVar

from sqlalchemy import text

from shared.bus.binding import Binding, HandlerContext
from shared.bus.errors import Permanent, Transient
from shared.bus.worker import run_worker
from shared.contracts.envelope import EventData
from shared.settings import ServiceSettings

QUEUE = "dns.on-number"


class NumberSeen(EventData):
    type: ClassVar[str] = "dns.number.seen.v1"
    number: int


class Faults:
    """What the handler does before it counts: how often it raises what."""

    def __init__(self) -> None:
        self.transient = 0
        self.broken = False
        self.permanent = False
        self.calls = 0

    def strike(self) -> None:
        self.calls += 1
        if self.permanent:
            raise Permanent("on purpose")
        if self.broken:
            raise RuntimeError("on purpose")
        if self.transient:
            self.transient -= 1
            raise Transient("on purpose")


async def on_number(context: HandlerContext, event: NumberSeen) -> None:
    if isinstance(context.resources, Faults):
        context.resources.strike()
    await context.session.execute(
        text("insert into effect (event_id, number) values (:event, :number)"),
        {"event": context.envelope.id, "number": event.number},
    )


BINDINGS = (Binding(QUEUE, NumberSeen, on_number),)


def settings(database_url: str, amqp_url: str, socket: Path) -> ServiceSettings:
    return ServiceSettings.model_validate(
        {
            "service": "dns",
            "role": "worker",
            "socket": socket,
            "database_url": database_url,
            "amqp_url": amqp_url,
            "identity_trust_dir": socket.parent,
            "shutdown_seconds": 2,
            "log_level": "CRITICAL",
        }
    )


def work(database_url: str, amqp_url: str, socket: str, crash_at: str) -> None:
    """Entry point of a process that the test may kill."""
    os.environ["SC_CRASHPOINT"] = crash_at
    asyncio.run(run_worker(settings(database_url, amqp_url, Path(socket)), BINDINGS))
