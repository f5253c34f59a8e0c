"""The reconciler's store in memory, on a clock of its own: for simulations, and small enough to be checked by reading.

Committed rows are never changed, only replaced: what a pass knows stays as it was when it was read. Nothing in a
transaction waits for anything, so no other one can come between its first and its last line.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, NoResultFound
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import manager_of_class

from services.provisioner.models import (
    Address,
    Base,
    CloudResource,
    Condition,
    Domain,
    Mailbox,
    MailboxVerifier,
    Server,
    StepLog,
    Subscription,
)
from services.provisioner.reconciler.lease import Lease, LostLease, moment
from services.provisioner.reconciler.store import Known
from shared.contracts.envelope import EventData

Row = TypeVar("Row")
Key = tuple[type, Any]
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class MemoryStore:
    """A `Store`. `seconds` is its clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self._rows: dict[type, dict[Any, Any]] = {mapper.class_: {} for mapper in Base.registry.mappers}
        self.events: list[tuple[EventData, str, int]] = []
        self.audited: list[str] = []
        self._logged = 0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds())

    # -- rows ----------------------------------------------------------------------------------------------

    def rows(self, entity: type[Row]) -> list[Row]:
        """As committed, by primary key."""
        table = self._rows[entity]
        return [table[key] for key in sorted(table)]

    def row(self, entity: type[Row], ident: Any) -> Row | None:
        found: Row | None = self._rows[entity].get(ident)
        return found

    def put(self, row: Any) -> None:
        """Commits one row outside of any lease, as the other parts of the service do."""
        self.apply({_key(row): row}, set())

    def apply(self, changed: dict[Key, Any], deleted: set[Key]) -> None:
        self.check(changed, deleted)
        for entity, ident in deleted:
            self._rows[entity].pop(ident, None)
        for (entity, ident), row in changed.items():
            self._fill(entity, row)
            if entity is StepLog and row.id is None:
                self._logged += 1
                row.id = self._logged
            self._rows[entity][ident if entity is not StepLog else row.id] = row

    def check(self, changed: dict[Key, Any], deleted: set[Key]) -> None:
        """The unique constraints that the reconciler relies on, as if these changes had been made."""
        if not any(entity is CloudResource for entity, _ in changed):
            return
        taken: set[tuple[str, ...]] = set()
        rows = {(CloudResource, ident): row for ident, row in self._rows[CloudResource].items()} | changed
        for key, row in rows.items():
            if key[0] is not CloudResource or key in deleted:
                continue
            values: list[tuple[str, ...]] = (
                [(row.kind, row.external_id)] if row.external_id is not None else []
            )
            if row.state not in ("gone", "leaked"):
                values.append((row.server_id, row.kind, row.slot))
            if taken & set(values):
                raise IntegrityError("unique", None, ValueError(f"{values} is taken"))
            taken |= set(values)

    def _fill(self, entity: type, row: Any) -> None:
        """What PostgreSQL's column defaults would have filled in."""
        for name, made in _defaults(entity):
            if row.__dict__.get(name) is None:
                row.__dict__[name] = self.now() if made is None else made()

    # -- the port ------------------------------------------------------------------------------------------

    async def claim(self, owner: str, seconds: float) -> Lease | None:
        now = self.now()
        due = [
            one
            for one in self._rows[Server].values()
            if one.deleted_at is None
            and one.next_at <= now
            and (one.lease_until is None or one.lease_until < now)
        ]
        if not due:
            return None
        server = _copy(min(due, key=lambda one: one.next_at))
        server.lease_owner, server.lease_until = owner, now + timedelta(seconds=seconds)
        server.fence += 1
        self.put(server)
        woken = server.wakes > server.seen_wakes
        return Lease(server.id, server.workspace_id, server.fence, server.wakes, woken, now, seconds)

    async def renew(self, lease: Lease) -> None:
        async with self.hold(lease) as held:
            held.server.lease_until = self.now() + timedelta(seconds=lease.seconds)
        lease.extended_at(moment())

    async def wake(self, server_id: str) -> None:
        self.due_now(server_id)

    @asynccontextmanager
    async def hold(self, lease: Lease) -> AsyncIterator[MemoryHeld]:
        row = self._rows[Server].get(lease.server_id)
        if (
            row is None
            or row.fence != lease.fence
            or row.lease_until is None
            or row.lease_until <= self.now()
        ):
            raise LostLease(lease.server_id)
        held = MemoryHeld(self, lease)
        yield held
        held.commit()

    # -- what others do ------------------------------------------------------------------------------------

    def change(self, entity: type[Row], ident: Any, **values: Any) -> None:
        row = _copy(self._rows[entity][ident])
        for name, value in values.items():
            setattr(row, name, value)
        self.put(row)

    def due_now(self, server_id: str) -> None:
        server = self._rows[Server][server_id]
        if server.deleted_at is None:
            self.change(Server, server_id, wakes=server.wakes + 1, next_at=self.now())


class MemoryHeld:
    """A `Held`, and its `Session`."""

    def __init__(self, store: MemoryStore, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._changed: dict[Key, Any] = {}
        self._deleted: set[Key] = set()
        self._events: list[tuple[EventData, str, int]] = []
        self._audited: list[str] = []
        self._conditions: dict[str, Condition] | None = None
        self.server: Server = self._get(Server, lease.server_id)

    @property
    def session(self) -> MemoryHeld:
        return self

    def log(self, row: StepLog) -> None:
        self.add(row)

    def _get(self, entity: type[Any], ident: Any) -> Any:
        key = (entity, ident)
        if key in self._changed:
            return self._changed[key]
        found = None if key in self._deleted else self._store.row(entity, ident)
        if found is not None:
            found = self._changed[key] = _copy(found)
        return found

    async def get(self, entity: type[Row], ident: Any, /) -> Row | None:
        found: Row | None = self._get(entity, ident)
        return found

    async def get_one(self, entity: type[Row], ident: Any, /) -> Row:
        found: Row | None = self._get(entity, ident)
        if found is None:
            raise NoResultFound(f"no {entity.__name__} {ident}")
        return found

    def add(self, instance: object, /) -> None:
        self._changed[_key(instance)] = instance

    async def delete(self, instance: object, /) -> None:
        key = _key(instance)
        self._changed.pop(key, None)
        self._deleted.add(key)

    async def flush(self) -> None:
        self._store.check(self._changed, self._deleted)

    async def conditions(self) -> dict[str, Condition]:
        if self._conditions is None:
            mine = [ident for ident in self._store._rows[Condition] if ident[0] == self._lease.server_id]
            self._conditions = {ident[1]: self._get(Condition, ident) for ident in mine}
        return self._conditions

    async def load(self) -> Known:
        mine = self._lease.server_id

        def of(entity: type[Row]) -> list[Row]:
            """In the order in which they were added, which is that of their ids."""
            table = self._store._rows[entity]
            found = {
                ident: self._changed.get((entity, ident), row)
                for ident, row in table.items()
                if row.server_id == mine and (entity, ident) not in self._deleted
            }
            fresh = (
                row for (kind, ident), row in self._changed.items() if kind is entity and ident not in table
            )
            return [*found.values(), *fresh]

        for row in self._changed.values():
            self._store._fill(type(row), row)
        mailboxes = of(Mailbox)
        boxes = {one.id for one in mailboxes}
        verifiers = [
            *self._store.rows(MailboxVerifier),
            *(row for (kind, _), row in self._changed.items() if kind is MailboxVerifier),
        ]
        return Known(
            self.server,
            self._get(Subscription, self.server.subscription_id),
            of(CloudResource),
            of(Address),
            await self.conditions(),
            of(Domain),
            [row for row in self._store.rows(Domain) if row.moving_from == mine],
            mailboxes,
            {row.mailbox_id: row for row in verifiers if row.mailbox_id in boxes},
        )

    async def release(self, after: float) -> None:
        server, now = self.server, self._store.now()
        server.lease_owner = server.lease_until = None
        server.seen_wakes = self._lease.wakes
        server.next_at = now if server.wakes > self._lease.wakes else now + timedelta(seconds=after)

    async def emit(self, event: EventData, *, subject: str, version: int) -> None:
        self._events.append((event, subject, version))

    async def audit(self, action: str) -> None:
        self._audited.append(action)

    async def change_status(self, subscription: Subscription, status: Literal["past_due", "ended"]) -> None:
        subscription.status = status
        subscription.version += 1

    async def announce_if_empty(self) -> None:
        return

    def commit(self) -> None:
        self._store.apply(self._changed, self._deleted)
        self._store.events += self._events
        self._store.audited += self._audited


_KEYS: dict[type, tuple[str, ...]] = {}
_DEFAULTS: dict[type, list[tuple[str, Callable[[], Any] | None]]] = {}


def _key(row: Any) -> Key:
    """Entity and primary key; a row whose key the store gives is its own until then."""
    entity = type(row)
    names = _KEYS.get(entity)
    if names is None:
        names = _KEYS[entity] = tuple(column.key for column in sa.inspect(entity).primary_key)
    if len(names) > 1:
        return entity, tuple(getattr(row, name) for name in names)
    ident = getattr(row, names[0])
    return entity, id(row) if ident is None else ident


def _copy(row: Any) -> Any:
    values = {name: value for name, value in row.__dict__.items() if name != "_sa_instance_state"}
    new = manager_of_class(type(row)).new_instance()
    new.__dict__.update(values)
    return new


def _defaults(entity: type) -> list[tuple[str, Callable[[], Any] | None]]:
    """Columns and what makes their default; None stands for the present moment."""
    if entity not in _DEFAULTS:
        mapper: Mapper[Any] = sa.inspect(entity)
        made = ((column.key, column.server_default) for column in mapper.columns)
        _DEFAULTS[entity] = [
            (
                name,
                None
                if isinstance(default.arg, sa.sql.functions.now)
                else partial(_literal, str(default.arg)),
            )
            for name, default in made
            if isinstance(default, sa.DefaultClause)
        ]
    return _DEFAULTS[entity]


def _literal(text: str) -> Any:
    """The value of an SQL literal: `'present'`, `0`, `false`, `'[]'::jsonb`."""
    value, _, kind = text.partition("::")
    if value.startswith("'"):
        return json.loads(value[1:-1]) if kind == "jsonb" else value[1:-1]
    return json.loads(value)
