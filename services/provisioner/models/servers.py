"""A server, what the cloud has of it, and how it came about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.provisioner.models.base import EMPTY_LIST, EMPTY_OBJECT, FALSE, ONE, ZERO, Base


class Server(Base):
    """Desired and observed state of one mail server, and who may write to it now.

    `generation` grows with each change that the host has to learn of, `names_generation` with each change of its set
    of names. `fence` grows with each claim: a write that does not carry the present value is refused. `wakes` grows
    when something happened that a pass must not sleep through.

    `boots` counts the starts that people have ordered; `boots_stopped` and `boots_done` follow it when the machine was
    seen stopped, and running again, for that order. `incarnation` counts the machines that people have ordered behind
    the same name and addresses; `incarnation_cleared` follows it when the machine before is gone.
    """

    __tablename__ = "server"
    __table_args__ = (
        CheckConstraint("desired in ('present', 'absent')", name="desired"),
        CheckConstraint("mail_service in ('full', 'outbound_paused', 'read_only')", name="mail_service"),
        CheckConstraint("boot_type in ('local', 'rescue')", name="boot_type"),
        Index("ix_server_due", "next_at", postgresql_where=text("deleted_at is null")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscription.id"), unique=True)
    plan: Mapped[str]
    zone: Mapped[str]
    label: Mapped[str] = mapped_column(unique=True)
    hostname: Mapped[str] = mapped_column(unique=True)
    commercial_type: Mapped[str | None]
    image: Mapped[str | None]
    """The label of the image that it was made from, once it was made."""
    desired: Mapped[str] = mapped_column(server_default=text("'present'"))
    mail_service: Mapped[str] = mapped_column(server_default=text("'full'"))
    generation: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    observed_generation: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    ever_ready: Mapped[bool] = mapped_column(server_default=FALSE)

    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    wakes: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    seen_wakes: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)

    moving_to: Mapped[str | None]
    """The zone that it goes to before it exists, when the present one has run out."""
    boots: Mapped[int] = mapped_column(server_default=ZERO)
    boots_stopped: Mapped[int] = mapped_column(server_default=ZERO)
    boots_done: Mapped[int] = mapped_column(server_default=ZERO)
    boot_type: Mapped[str] = mapped_column(server_default=text("'local'"))
    incarnation: Mapped[int] = mapped_column(server_default=ONE)
    incarnation_cleared: Mapped[int] = mapped_column(server_default=ONE)

    host_key: Mapped[str | None]
    """The server's own SSH host key, made by itself. It is what it must show once `host_key_own` is true."""
    host_key_own: Mapped[bool] = mapped_column(server_default=FALSE)
    install_run_id: Mapped[str | None]
    bundle_version: Mapped[str | None]
    webmail_key_version: Mapped[int | None]
    webmail_incarnation: Mapped[int] = mapped_column(server_default=ONE)
    """For which machine the vault made the webmail key last."""
    facts: Mapped[dict[str, Any] | None]

    names_generation: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    names_digest: Mapped[str | None]
    names_seen_generation: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    names_seen_version: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    names_forward: Mapped[bool] = mapped_column(server_default=FALSE)
    names_reverse: Mapped[bool] = mapped_column(server_default=FALSE)
    names_withdrawn: Mapped[bool] = mapped_column(server_default=FALSE)
    names_records: Mapped[list[dict[str, Any]]] = mapped_column(server_default=EMPTY_LIST)

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ready_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None]
    deleted_at: Mapped[datetime | None]


class CloudResource(Base):
    """One thing at the cloud. The row is committed before the call that makes it, with all that the call needs."""

    __tablename__ = "cloud_resource"
    __table_args__ = (
        CheckConstraint("state in ('planned', 'intent', 'unknown', 'bound', 'gone', 'leaked')", name="state"),
        CheckConstraint("kind in ('ip', 'security_group', 'instance', 'volume')", name="kind"),
        Index(
            "uq_cloud_resource_slot",
            "server_id",
            "kind",
            "slot",
            unique=True,
            postgresql_where=text("state not in ('gone', 'leaked')"),
        ),
        UniqueConstraint("kind", "external_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"), index=True)
    kind: Mapped[str]
    slot: Mapped[str]
    zone: Mapped[str]
    attempt: Mapped[int] = mapped_column(SmallInteger)
    request: Mapped[dict[str, Any]]
    state: Mapped[str]
    external_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    intent_at: Mapped[datetime]
    bound_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]


class Address(Base):
    """One address that was reserved for a server, the refused ones included. `listings` says who refused it."""

    __tablename__ = "address"
    __table_args__ = (
        CheckConstraint("family in (4, 6)", name="family"),
        CheckConstraint("state in ('checking', 'clean', 'live', 'burned', 'released')", name="state"),
        UniqueConstraint("server_id", "family", "attempt"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"), index=True)
    resource_id: Mapped[str] = mapped_column(ForeignKey("cloud_resource.id"), unique=True)
    family: Mapped[int] = mapped_column(SmallInteger)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    address: Mapped[str]
    ipam_id: Mapped[str | None]
    state: Mapped[str]
    verdict: Mapped[str | None]
    listings: Mapped[list[dict[str, Any]]] = mapped_column(server_default=EMPTY_LIST)
    clean: Mapped[list[str]] = mapped_column(server_default=EMPTY_LIST)
    unknown: Mapped[list[str]] = mapped_column(server_default=EMPTY_LIST)
    reverse: Mapped[str | None]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    checked_version: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    checked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    released_at: Mapped[datetime | None]


class Condition(Base):
    """What is known about one aspect of a server, and when to look again. One row per step, and a few more."""

    __tablename__ = "condition"
    __table_args__ = (CheckConstraint("status in ('true', 'false', 'unknown')", name="status"),)

    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"), primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]
    reason: Mapped[str]
    message: Mapped[str] = mapped_column(server_default=text("''"))
    observed_generation: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    last_transition_at: Mapped[datetime]
    since: Mapped[datetime]
    """When the present try began; deadlines count from here."""
    due_at: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(server_default=ZERO)
    failures: Mapped[int] = mapped_column(server_default=ZERO)
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)


class StepLog(Base):
    """What happened, in order; rows are only ever added. Jobs are read from here."""

    __tablename__ = "step_log"
    __table_args__ = (
        CheckConstraint(
            "outcome in ('started', 'waiting', 'retrying', 'ok', 'failed', 'stalled')", name="outcome"
        ),
        Index("ix_step_log_server_id_id", "server_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"))
    subject_id: Mapped[str]
    step: Mapped[str]
    outcome: Mapped[str]
    attempt: Mapped[int]
    generation: Mapped[int] = mapped_column(BigInteger)
    fence: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    error_class: Mapped[str | None]
    message: Mapped[str | None]
    next_action: Mapped[str | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
