"""What is paid for, and what Stripe says of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.provisioner.models.base import ZERO, Base


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
