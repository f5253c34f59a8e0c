"""For tests of services: run a handler as the consumer would, and see what was emitted, without a broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.bus.binding import Binding, HandlerContext
from shared.contracts.envelope import EVENT_TYPES, Envelope, EventData
from shared.db.database import Database
from shared.db.kit_tables import inbox, outbox
from shared.ids import new_id

E = TypeVar("E", bound=EventData)


def envelope_for(
    event: EventData, *, subject: str = "subject", workspace_id: str | None = None, aggregate_version: int = 1
) -> Envelope:
    """An envelope as the producer would have made it."""
    workspace = workspace_id or getattr(event, "workspace_id", None)
    return Envelope(
        id=new_id("evt"),
        source=f"/{event.producer()}",
        type=event.type,
        subject=subject,
        time=datetime.now(UTC),
        workspaceid=workspace,
        aggregateversion=aggregate_version,
        data=event.model_dump(mode="json"),
    )


@dataclass
class RecordingBus:
    """Stands for the bus of one service: `deliver` hands an event to its handlers, each in a transaction with its
    inbox row (a second delivery of the same envelope changes nothing); `emitted` reads what its outbox holds."""

    database: Database
    bindings: tuple[Binding, ...]
    resources: Any = None
    delivered: list[Envelope] = field(default_factory=list)

    async def deliver(
        self,
        event: EventData,
        *,
        subject: str = "subject",
        aggregate_version: int = 1,
        envelope: Envelope | None = None,
    ) -> Envelope:
        sent = envelope or envelope_for(event, subject=subject, aggregate_version=aggregate_version)
        takers = [binding for binding in self.bindings if binding.event.type == event.type]
        if not takers:
            raise LookupError(f"no binding takes {event.type}")
        payload = type(event).model_validate(sent.data)
        for binding in takers:
            async with self.database.transaction(workspace_id=sent.workspaceid) as session:
                if await _is_new(session, binding.queue, sent.id):
                    context = HandlerContext(session, sent, self.resources, binding.service)
                    await binding.handler(context, payload)
        self.delivered.append(sent)
        return sent

    async def envelopes(self) -> list[Envelope]:
        """All that was emitted, oldest first. `database` has to be the worker role's."""
        async with self.database.transaction() as session:
            bodies = await session.scalars(select(outbox.c.body).order_by(outbox.c.seq))
            return [Envelope.model_validate_json(body) for body in bodies]

    async def emitted(self, kind: type[E]) -> list[E]:
        """The payloads of one type that were emitted, oldest first."""
        return [kind.model_validate(item.data) for item in await self.envelopes() if item.type == kind.type]

    async def emitted_events(self) -> list[EventData]:
        return [EVENT_TYPES[item.type].model_validate(item.data) for item in await self.envelopes()]


async def _is_new(session: AsyncSession, consumer: str, event_id: str) -> bool:
    statement = insert(inbox).values(consumer=consumer, event_id=event_id).on_conflict_do_nothing()
    return (await session.execute(statement.returning(inbox.c.event_id))).first() is not None
