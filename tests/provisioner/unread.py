"""The outbox as another service gets to know it: every event once, however late its transaction commits.

Numbers are given when a row is written, not when it is committed: with several workers a row may appear after one with
a higher number. Whoever goes on after the highest number seen passes it over for ever (the relay does not: it asks for
what is not published).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlalchemy import select

from shared.db.database import Database
from shared.db.kit_tables import outbox

OPEN_SECONDS = 15.0
"""No transaction is open for longer: a number that has not been seen by then was rolled back."""


@dataclass
class Unread:
    """`seen`: everything up to this number was read. It may be set back, to read again."""

    database: Database
    seen: int = 0
    _ahead: dict[int, float] = field(default_factory=dict)

    async def read(self) -> list[bytes]:
        """The bodies of the events that were not read before, by number."""
        query = (
            select(outbox.c.seq, outbox.c.body)
            .where(outbox.c.seq > self.seen, outbox.c.seq.not_in(list(self._ahead)))
            .order_by(outbox.c.seq)
        )
        async with self.database.transaction() as session:
            rows = (await session.execute(query)).all()
        now = time.monotonic()
        self._ahead |= dict.fromkeys((seq for seq, _ in rows), now)
        for seq in sorted(self._ahead):
            if seq > self.seen + 1 and now - self._ahead[seq] < OPEN_SECONDS:
                break  # a number before it is missing, and may still come
            self.seen = seq
            del self._ahead[seq]
        return [body for _, body in rows]
