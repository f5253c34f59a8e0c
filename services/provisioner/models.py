"""What the provisioner keeps. Every table of a workspace is behind row-level security (migrations/)."""

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
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db import kit_tables
from shared.db.base import TYPE_MAP, new_metadata

EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_LIST = text("'[]'::jsonb")
FALSE = text("false")
ZERO = text("0")
ONE = text("1")


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


kit = kit_tables.define(Base)


class Subscription(Base):
    """What a customer pays for. Only a paid invoice makes it active, and one active subscription has one server.

    The row is there before the payment page is asked for; while it has none, nobody sees it.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        CheckConstraint(
            "status in ('pending', 'expired', 'active', 'past_due', 'ended', 'refused')", name="status"
        ),
        CheckConstraint(
            "dunning in ('past_due', 'outbound_paused', 'read_only', 'destroyed')", name="dunning"
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    plan: Mapped[str]
    zone: Mapped[str]
    status: Mapped[str]
    checkout_session_id: Mapped[str | None] = mapped_column(unique=True)
    checkout_url: Mapped[str | None]
    stripe_customer_id: Mapped[str | None]
    stripe_subscription_id: Mapped[str | None] = mapped_column(unique=True)
    stripe_status: Mapped[str | None]
    stripe_look: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    """The number of the last look at Stripe that was taken in: what an earlier one saw is older."""
    price_id: Mapped[str | None]
    amount_cents: Mapped[int | None]
    """Per month, as it was bought: a later price of the plan does not change it."""
    currency: Mapped[str | None]
    period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]
    dunning: Mapped[str | None]
    """The step of the ladder that was taken last: `past_due`, or one of the plans' file."""
    dunning_at: Mapped[datetime | None]
    announced: Mapped[str | None]
    """The step that was announced, and has not been taken yet."""
    announced_at: Mapped[datetime | None]
    collection_held_at: Mapped[datetime | None]
    """Since when nothing is charged, because its server cannot be made."""
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    activated_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))


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


class Job(Base):
    """A name for one stretch of the step log: what was asked for, of whom, from which row on."""

    __tablename__ = "job"
    __table_args__ = (Index("ix_job_server_id_id", "server_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"))
    subject_id: Mapped[str]
    kind: Mapped[str]
    generation: Mapped[int] = mapped_column(BigInteger)
    after_log: Mapped[int] = mapped_column(BigInteger)
    requested_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StepTiming(Base):
    """How long finished jobs of one kind took, on servers made from one image: of the whole fleet, and of nobody.

    `median_seconds` and `p90_seconds` are the step's own, `left_…` from its end to the end of its job. The step
    `created` stands for the job's beginning.
    """

    __tablename__ = "step_timing"

    job_kind: Mapped[str] = mapped_column(primary_key=True)
    image: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    samples: Mapped[int]
    median_seconds: Mapped[float]
    p90_seconds: Mapped[float]
    left_median_seconds: Mapped[float]
    left_p90_seconds: Mapped[float]
    last_at: Mapped[datetime]
    """When the newest of the jobs ended."""


class Domain(Base):
    """A sending domain of a server."""

    __tablename__ = "domain"
    __table_args__ = (
        CheckConstraint(
            "state in ('pending', 'awaiting_dns', 'securing', 'ready', 'removing')", name="state"
        ),
        Index("ix_domain_moving_from", "moving_from", postgresql_where=text("moving_from is not null")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"), index=True)
    moving_from: Mapped[str | None]
    """The server that publishes its records until the new one has made its keys."""
    zone_id: Mapped[str]
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    generation: Mapped[int] = mapped_column(BigInteger)
    """The server's generation that brought the domain its present wish."""
    dkim_rsa_selector: Mapped[str]
    dkim_ed25519_selector: Mapped[str]
    dkim: Mapped[list[dict[str, Any]]] = mapped_column(server_default=EMPTY_LIST)
    dmarc_policy: Mapped[str] = mapped_column(server_default=text("'reject'"))
    mta_sts_id: Mapped[str]
    dns_verified: Mapped[bool] = mapped_column(server_default=FALSE)
    certified: Mapped[bool] = mapped_column(server_default=FALSE)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ready_at: Mapped[datetime | None]


class Mailbox(Base):
    """A mailbox. Its password is the vault's; here is only whether the host accepts it."""

    __tablename__ = "mailbox"
    __table_args__ = (CheckConstraint("state in ('pending', 'active', 'removing')", name="state"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"), index=True)
    domain_id: Mapped[str] = mapped_column(ForeignKey("domain.id"), index=True)
    address: Mapped[str] = mapped_column(unique=True)
    local_part: Mapped[str]
    display_name: Mapped[str]
    state: Mapped[str]
    generation: Mapped[int] = mapped_column(BigInteger)
    """The server's generation that brought the mailbox its present wish, its passwords included."""
    applied_generation: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    """Of which wish the host has said that it is fulfilled."""
    credential_version: Mapped[int] = mapped_column(server_default=ZERO)
    webmail_version: Mapped[int] = mapped_column(server_default=ZERO)
    webmail_ended: Mapped[list[str]] = mapped_column(server_default=EMPTY_LIST)
    """Ids of webmail sign-ins that the host is to refuse, as the vault said in its event of `webmail_version`."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    active_at: Mapped[datetime | None]


class MailboxVerifier(Base):
    """The stored password verifiers of a mailbox, as the vault gave them: the set's version, and for which of the
    mailbox's generations they were fetched. The API's role cannot read this table."""

    __tablename__ = "mailbox_verifier"

    mailbox_id: Mapped[str] = mapped_column(ForeignKey("mailbox.id", ondelete="cascade"), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    verifiers: Mapped[list[dict[str, Any]]]
    version: Mapped[int] = mapped_column(server_default=ZERO)
    generation: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    fetched_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ProvenZone(Base):
    """Projection of dns: zones whose control is proven, and by whom."""

    __tablename__ = "proven_zone"

    zone_id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(index=True)
    proven: Mapped[bool]
    version: Mapped[int] = mapped_column(BigInteger)


class StripeEvent(Base):
    """Inbox of signed webhooks, by Stripe's own event id. Only ids are kept: the worker asks Stripe again."""

    __tablename__ = "stripe_event"
    __table_args__ = (
        Index("ix_stripe_event_pending", "next_at", postgresql_where=text("processed_at is null")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    object_id: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default=ZERO)
    processed_at: Mapped[datetime | None]
    outcome: Mapped[str | None]


class Price(Base):
    """What a plan is sold at now, under Stripe's id. Written by whoever makes Stripe agree with the plans."""

    __tablename__ = "price"

    plan: Mapped[str] = mapped_column(primary_key=True)
    price_id: Mapped[str]
    amount_cents: Mapped[int]
    currency: Mapped[str]
    seen_at: Mapped[datetime]


class Invoice(Base):
    """An invoice under Stripe's id, as look number `look` saw it."""

    __tablename__ = "invoice"
    __table_args__ = (Index("ix_invoice_workspace_id_created_at", "workspace_id", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str]
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscription.id"), index=True)
    status: Mapped[str]
    number: Mapped[str | None]
    amount_due: Mapped[int]
    amount_paid: Mapped[int]
    currency: Mapped[str]
    created_at: Mapped[datetime]
    hosted_url: Mapped[str | None]
    pdf_url: Mapped[str | None]
    look: Mapped[int] = mapped_column(BigInteger)


class Refund(Base):
    """All that was paid for a subscription is to go back, and it ends. Asked for once, carried out by the worker."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("state in ('requested', 'done')", name="state"),
        Index("ix_refund_due", "next_at", postgresql_where=text("state = 'requested'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscription.id"), unique=True)
    stripe_subscription_id: Mapped[str]
    reason: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'requested'"))
    amount: Mapped[int | None]
    currency: Mapped[str | None]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default=ZERO)
    done_at: Mapped[datetime | None]


class BillingFinding(Base):
    """Something in which Stripe and our servers differ. `subject` is our subscription's id, or Stripe's."""

    __tablename__ = "billing_finding"

    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    cleared_at: Mapped[datetime | None]


class BillingComparison(Base):
    """One comparison of Stripe with the servers; without `finished_at` it broke off, or is at work."""

    __tablename__ = "billing_comparison"

    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]
    compared: Mapped[int | None]
    findings: Mapped[int | None]


class SweepFinding(Base):
    """A thing at the cloud that carries our tag and belongs to nobody."""

    __tablename__ = "sweep_finding"
    __table_args__ = (
        CheckConstraint("state in ('seen', 'quarantined', 'deleted', 'cleared')", name="state"),
        UniqueConstraint("kind", "external_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    zone: Mapped[str]
    external_id: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(server_default=EMPTY_LIST)
    state: Mapped[str]
    seen: Mapped[int]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    quarantined_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class ProviderGate(Base):
    """What all workers together may still ask of one provider's zone, and whether it answers (`reconciler/gate.py`)."""

    __tablename__ = "provider_gate"

    provider: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    refilled_at: Mapped[datetime] = mapped_column(server_default=func.now())
    paused_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=ZERO)
    """Silences in a row."""
    open_until: Mapped[datetime | None]
    """The breaker is open; once this has passed, one call is let through."""


class ZoneOffer(Base):
    """What the cloud said of one machine type in one zone. `monthly_cents`: its own price, in euros, without tax."""

    __tablename__ = "zone_offer"
    __table_args__ = (
        CheckConstraint("availability in ('available', 'scarce', 'shortage')", name="availability"),
    )

    zone: Mapped[str] = mapped_column(primary_key=True)
    commercial_type: Mapped[str] = mapped_column(primary_key=True)
    availability: Mapped[str]
    monthly_cents: Mapped[int | None]
    vcpus: Mapped[int]
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime]


class CloudLimit(Base):
    """How many servers or addresses our account may have, over all zones, and has. `quota` None: no limit."""

    __tablename__ = "cloud_limit"

    resource: Mapped[str] = mapped_column(primary_key=True)
    quota: Mapped[int | None]
    used: Mapped[int]
    seen_at: Mapped[datetime]


class WorkspaceDeletion(Base):
    """A workspace that is leaving: its servers are cancelled, and nothing new is begun for it."""

    __tablename__ = "workspace_deletion"

    workspace_id: Mapped[str] = mapped_column(primary_key=True)
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    emptied_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
