"""The sweeper's rows in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from services.provisioner.models import CloudResource, Condition, Server, SweepFinding
from services.provisioner.ports import CloudInstance
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.strangers import MADE_BEFORE
from services.provisioner.steps.observe import Observe
from services.provisioner.sweeper import NEEDED_SIGHTINGS, OPEN, Sighting
from shared.ids import new_id
from tests.provisioner.simulation.memory import MemoryStore


class MemoryFindings:
    """The sweeper's `Findings`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._led = False

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[bool]:
        if self._led:
            yield False
            return
        self._led = True
        try:
            yield True
        finally:
            self._led = False

    async def notice(self, zone: str, instances: Sequence[CloudInstance]) -> Sequence[str]:
        sound = {one.id: set(one.ip_ids) for one in instances if one.state == "running"}
        suspects = []
        for row in self._store.rows(CloudResource):
            server = self._store.row(Server, row.server_id)
            seen = self._store.row(Condition, (row.server_id, Observe.condition))
            ours = (row.kind, row.state, row.zone) == ("instance", "bound", zone)
            if not ours or seen is None or server is None:
                continue
            as_it_should = set(row.request["ip_ids"]) <= sound.get(str(row.external_id), set())
            if server.desired == "present" and seen.status == "true" and not as_it_should:
                self._store.change(Condition, (row.server_id, Observe.condition), due_at=self._store.now())
                self._store.due_now(row.server_id)
                suspects.append(row.server_id)
        return suspects

    async def unowned(self, seen: Sequence[Sighting]) -> list[Sighting]:
        rows = self._store.rows(CloudResource)
        bound = {(row.kind, row.external_id) for row in rows if row.state == "bound"}
        awaited = {row.id for row in rows if row.state in ("intent", "unknown")}
        return [
            one
            for one in seen
            if (one.kind, one.id) not in bound and tags.value(one.tags, "sc-res") not in awaited
        ]

    def _rows(self, *states: str) -> list[SweepFinding]:
        return [row for row in self._store.rows(SweepFinding) if row.state in states]

    async def note(self, unowned: Sequence[Sighting], zones: Sequence[str]) -> None:
        store, now = self._store, self._store.now()
        known = {(row.kind, row.external_id): row for row in store.rows(SweepFinding)}
        for one in unowned:
            row = known.get((one.kind, one.id))
            if row is not None and row.state not in OPEN:
                store.change(SweepFinding, row.id, state="seen", seen=1, first_seen_at=now, last_seen_at=now)
                continue
            if row is not None:
                store.change(SweepFinding, row.id, seen=row.seen + 1, last_seen_at=now)
                continue
            store.put(SweepFinding(
                id=new_id("swp"), kind=one.kind, zone=one.zone, external_id=one.id, tags=list(one.tags),
                state="seen", seen=1, first_seen_at=now, last_seen_at=now,
            ))  # fmt: skip
        present = {(one.kind, one.id) for one in unowned}
        for row in self._rows(*OPEN):
            if row.zone in zones and (row.kind, row.external_id) not in present:
                store.change(SweepFinding, row.id, state="cleared")

    async def quarantine(self, older_than: float) -> list[SweepFinding]:
        now = self._store.now()
        old = now - timedelta(seconds=older_than)
        rows = [
            row
            for row in self._rows("seen")
            if row.seen >= NEEDED_SIGHTINGS and row.first_seen_at <= old and not self._of_held_server(row)
        ]
        for row in rows:
            self._store.change(SweepFinding, row.id, state="quarantined", quarantined_at=now)
        return rows

    async def due(self, older_than: float, limit: int) -> list[SweepFinding]:
        old = self._store.now() - timedelta(seconds=older_than)
        rows = self._rows("quarantined")
        return [
            row
            for row in rows
            if row.quarantined_at is not None and row.quarantined_at <= old and not self._of_held_server(row)
        ][:limit]

    def _of_held_server(self, row: SweepFinding) -> bool:
        held = [
            one for one in self._store.rows(Condition) if (one.reason, one.status) == (MADE_BEFORE, "false")
        ]
        return any(tags.server(one.server_id) in row.tags for one in held)

    async def deleted(self, finding_id: str) -> None:
        self._store.change(SweepFinding, finding_id, state="deleted", deleted_at=self._store.now())

    async def open(self) -> list[SweepFinding]:
        return self._rows(*OPEN)
