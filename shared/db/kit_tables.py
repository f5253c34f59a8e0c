"""The tables every service has: outbox, inbox, idempotency_key, audit_entry, audit_head.

`create(op, service)` makes them in a migration, `define(Base)` adds the same tables to the service's metadata, and
the kit itself speaks to the Core tables below. One definition feeds all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from shared.db import rls
from shared.db.base import new_metadata

metadata = new_metadata()
_now = sa.text("now()")
_moment = sa.DateTime(timezone=True)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("workspace_id", sa.Text),
    sa.Column("aggregate_version", sa.BigInteger, nullable=False),
    sa.Column("headers", JSONB, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", _moment, nullable=False, server_default=_now),
    sa.Column("published_at", _moment),
    sa.Index("ix_outbox_unpublished", "seq", postgresql_where=sa.text("published_at is null")),
)

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("consumer", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("processed_at", _moment, nullable=False, server_default=_now, index=True),
)

idempotency_key = sa.Table(
    "idempotency_key",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text),
    sa.Column("account_id", sa.Text),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("status_code", sa.Integer, nullable=False),
    sa.Column("response", JSONB, nullable=False),
    sa.Column("created_at", _moment, nullable=False, server_default=_now, index=True),
)

audit_entry = sa.Table(
    "audit_entry",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("at", _moment, nullable=False),
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("data", JSONB, nullable=False),
    sa.Column("previous_hash", sa.LargeBinary, nullable=False),
    sa.Column("row_hash", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("workspace_id", "sequence"),
)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("workspace_id", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("row_hash", sa.LargeBinary, nullable=False),
)

_TABLES = (outbox, inbox, idempotency_key, audit_entry, audit_head)


class Operations(rls.Operations, Protocol):
    def create_table(self, table_name: str, *columns: Any, **kw: Any) -> Any: ...

    def create_index(self, index_name: str | None, table_name: str, columns: Any, **kw: Any) -> None: ...


@dataclass(frozen=True)
class KitTables:
    """The mapped classes, for queries of a service's own and for `alembic check`."""

    Outbox: Any
    Inbox: Any
    IdempotencyKey: Any
    AuditEntry: Any
    AuditHead: Any


def define(base: type[DeclarativeBase]) -> KitTables:
    """Adds the kit's tables to the metadata of `base` and maps them."""

    def mapped(name: str, table: sa.Table) -> Any:
        return type(name, (base,), {"__table__": table.to_metadata(base.metadata)})

    return KitTables(
        Outbox=mapped("Outbox", outbox),
        Inbox=mapped("Inbox", inbox),
        IdempotencyKey=mapped("IdempotencyKey", idempotency_key),
        AuditEntry=mapped("AuditEntry", audit_entry),
        AuditHead=mapped("AuditHead", audit_head),
    )


def create(op: Operations, service: str) -> None:
    """Makes the tables, their grants and policies, the outbox's NOTIFY and the lock on audit rows."""
    for table in _TABLES:
        _create_table(op, table)
    _protect_outbox(op, service)
    rls.grant(op, "inbox", rls.worker_role(service), ("select", "insert", "delete"))
    rls.protect(op, "idempotency_key", service=service, account_column="account_id")
    _protect_audit(op, service)


def _create_table(op: Operations, table: sa.Table) -> None:
    copy = table.to_metadata(new_metadata())
    constraints = [item for item in copy.constraints if not isinstance(item, sa.PrimaryKeyConstraint)]
    indexes = sorted(copy.indexes, key=lambda index: str(index.name))
    columns = [column._copy(index=None) for column in copy.columns]  # indexes are made below, by their names
    uniques = [
        sa.UniqueConstraint(*item.columns.keys(), name=item.name)
        for item in constraints
        if isinstance(item, sa.UniqueConstraint)
    ]
    for column in columns:
        column.index = column.unique = None
    key = sa.PrimaryKeyConstraint(*copy.primary_key.columns.keys(), name=f"pk_{table.name}")
    op.create_table(table.name, *columns, key, *uniques)
    for index in indexes:
        where = index.dialect_options["postgresql"]["where"]
        extra = {} if where is None else {"postgresql_where": where}
        op.create_index(str(index.name), table.name, [column.name for column in index.columns], **extra)


def _protect_outbox(op: Operations, service: str) -> None:
    """The app role can only add events, and inside a workspace only that workspace's; the worker relays them."""
    app, worker = rls.app_role(service), rls.worker_role(service)
    workspace = rls.setting("workspace_id")
    rls.grant(op, "outbox", app, "insert")
    rls.grant(op, "outbox", worker, rls.ALL_PRIVILEGES)
    rls.enable(op, "outbox")
    own = f"{workspace} is null or workspace_id is null or workspace_id = {workspace}"
    rls.policy(op, "outbox", app, "insert", check=own)
    rls.policy(op, "outbox", worker, "all", using="true", check="true")
    op.execute(
        "create function outbox_notify() returns trigger language plpgsql as "
        "$$begin perform pg_notify('outbox', ''); return null; end$$"
    )
    op.execute(
        "create trigger outbox_notify after insert on outbox for each statement execute function outbox_notify()"
    )


def _protect_audit(op: Operations, service: str) -> None:
    rls.protect(op, "audit_entry", service=service)
    rls.protect(op, "audit_head", service=service)
    for role in (rls.app_role(service), rls.worker_role(service)):
        rls.grant(op, "audit_entry", role, ("select", "insert"))
        rls.grant(op, "audit_head", role, ("select", "insert", "update"))
    op.execute(
        "create function audit_entry_refuse() returns trigger language plpgsql as "
        "$$begin raise exception 'audit rows are never changed'; end$$"
    )
    op.execute(
        "create trigger audit_entry_refuse before update or delete or truncate on audit_entry "
        "for each statement execute function audit_entry_refuse()"
    )
