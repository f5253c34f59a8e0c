"""What dns keeps. Every table of a workspace is behind row-level security (migrations/)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db import kit_tables
from shared.db.base import TYPE_MAP, new_metadata

PLATFORM = "platform"
"""`zone_id` of records in our own zone, which is a setting and not a row."""


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


kit = kit_tables.define(Base)


class Zone(Base):
    """A customer's zone. Only one workspace can have proven a name (partial unique index).

    `due_at` is when the worker looks at it next; `lease_until` and `fence` keep two workers from doing so at once.
    """

    __tablename__ = "zone"
    __table_args__ = (
        CheckConstraint("state in ('proving', 'proven', 'failed', 'removed')", name="state"),
        CheckConstraint("method in ('token', 'txt')", name="method"),
        Index("uq_zone_proven", "name", unique=True, postgresql_where=text("state = 'proven'")),
        Index(
            "uq_zone_in_workspace",
            "workspace_id",
            "name",
            unique=True,
            postgresql_where=text("state <> 'removed'"),
        ),
        Index("ix_zone_due", "due_at", postgresql_where=text("state <> 'removed'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    method: Mapped[str]
    provider_token_id: Mapped[str | None]
    provider_zone_id: Mapped[str | None]
    challenge: Mapped[str]
    state: Mapped[str]
    detail: Mapped[str | None]
    dnssec: Mapped[bool | None]
    name_servers: Mapped[list[str]]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    created_at: Mapped[datetime]
    proven_at: Mapped[datetime | None]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class ZoneProof(Base):
    """One check of control whose outcome differed from the one before."""

    __tablename__ = "zone_proof"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    zone_id: Mapped[str] = mapped_column(index=True)
    method: Mapped[str]
    outcome: Mapped[str]
    detail: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    checked_at: Mapped[datetime]


class Nameset(Base):
    """The names that one server wants, newest generation only, and what is true of them in DNS.

    `desired` is the fact that asked for them; `withdrawn` may be set earlier than the fact says, when the workspace
    is being deleted. `emitted` is the last published state, `version` its number.
    """

    __tablename__ = "nameset"
    __table_args__ = (
        Index("uq_nameset_hostname", "hostname", unique=True, postgresql_where=text("not gone")),
        Index("ix_nameset_due", "due_at", postgresql_where=text("not gone")),
    )

    server_id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    generation: Mapped[int] = mapped_column(BigInteger)
    aggregate_version: Mapped[int] = mapped_column(BigInteger)
    hostname: Mapped[str]
    withdrawn: Mapped[bool]
    desired: Mapped[dict[str, Any]]
    written_generation: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    problem: Mapped[str | None]
    forward: Mapped[bool] = mapped_column(server_default=text("false"))
    reverse: Mapped[bool] = mapped_column(server_default=text("false"))
    gone: Mapped[bool] = mapped_column(server_default=text("false"))
    emitted: Mapped[dict[str, Any]]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    pending_since: Mapped[datetime]
    healed_at: Mapped[datetime | None]
    due_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class RecordState(Base):
    """One record set of a nameset as last seen."""

    __tablename__ = "record_state"

    server_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    zone_id: Mapped[str | None] = mapped_column(index=True)
    domain_id: Mapped[str | None]
    expected: Mapped[list[str]]
    purposes: Mapped[list[str]]
    required: Mapped[bool]
    state: Mapped[str]
    dnssec: Mapped[bool]
    detail: Mapped[str]
    observed: Mapped[list[str]]
    checked_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]


class OwnedRecord(Base):
    """A record that we wrote, with its id at the provider. `merged`: a customer's SPF record with our mechanism in
    it; `value` then is the host that was added. `missing_since`: the provider no longer lists it."""

    __tablename__ = "owned_record"
    __table_args__ = (UniqueConstraint("provider_zone_id", "provider_record_id", "server_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    zone_id: Mapped[str] = mapped_column(index=True)
    provider_zone_id: Mapped[str]
    provider_record_id: Mapped[str]
    server_id: Mapped[str] = mapped_column(index=True)
    domain_id: Mapped[str | None]
    purpose: Mapped[str]
    name: Mapped[str]
    type: Mapped[str]
    value: Mapped[str]
    comment: Mapped[str]
    merged: Mapped[bool]
    written_at: Mapped[datetime]
    missing_since: Mapped[datetime | None]


class WriteIntent(Base):
    """A batch that is about to be sent, or was sent without an answer. Its nonce is in each record's comment, so
    that what it wrote is recognised afterwards. Removed once the outcome is known."""

    __tablename__ = "write_intent"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    zone_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str | None] = mapped_column(index=True)
    plan_id: Mapped[str | None]
    provider_zone_id: Mapped[str]
    nonce: Mapped[str]
    records: Mapped[list[dict[str, Any]]]
    created_at: Mapped[datetime]


class RecordPlan(Base):
    """A plan for a customer's zone, as it was shown. Only an approved, fresh one is applied, and once."""

    __tablename__ = "record_plan"
    __table_args__ = (
        CheckConstraint(
            "state in ('ready', 'approved', 'applied', 'failed', 'stale', 'superseded')", name="state"
        ),
        Index("uq_record_plan_open", "zone_id", unique=True, postgresql_where=text("state = 'ready'")),
        Index("ix_record_plan_approved", "zone_id", postgresql_where=text("state = 'approved'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    zone_id: Mapped[str] = mapped_column(index=True)
    state: Mapped[str]
    fingerprint: Mapped[str]
    content: Mapped[dict[str, Any]]
    accepted: Mapped[list[str]]
    approved_by: Mapped[str | None]
    detail: Mapped[str | None]
    computed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]


class WorkspaceDeletion(Base):
    """A workspace that ends. The row stays as a tombstone: what arrives late publishes nothing."""

    __tablename__ = "workspace_deletion"

    workspace_id: Mapped[str] = mapped_column(primary_key=True)
    requested_at: Mapped[datetime]
    emptied_at: Mapped[datetime | None]
