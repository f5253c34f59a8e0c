"""What people and customers' systems are told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.models.base import Base


class Notification(Base):
    """One mail to be sent. `reference` names the row that it is about; tokens are made when it is sent.

    Alerts with the same `collapse_key` that wait together are one row, `times` says how many. `delivery` is what the
    provider told last about it: delivered, delayed, bounced, complained, failed.
    """

    __tablename__ = "notification"
    __table_args__ = (
        CheckConstraint("state in ('pending','sent','failed','dropped')", name="state"),
        Index("ix_notification_due", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index(
            "uq_notification_waiting",
            "collapse_key",
            unique=True,
            postgresql_where=text("state = 'pending' and attempts = 0"),
        ),
        Index("ix_notification_collapse_key", "collapse_key", "created_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    reference: Mapped[str] = mapped_column(Text)
    account_id: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    provider_id: Mapped[str | None] = mapped_column(Text, index=True)
    last_error: Mapped[str | None] = mapped_column(Text)
    times: Mapped[int] = mapped_column(server_default="1")
    collapse_key: Mapped[str | None] = mapped_column(Text)
    delivery: Mapped[str | None] = mapped_column(Text)


class NotificationMute(Base):
    """A kind of mail that one person does not want from one workspace."""

    __tablename__ = "notification_mute"

    workspace_id: Mapped[str] = mapped_column(
        ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True
    )
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    created_at: Mapped[datetime]


class MailSuppression(Base):
    """An address that mail is not sent to, because it came back or was called spam. In force until `until` (None:
    for good) or until somebody lifts it."""

    __tablename__ = "mail_suppression"
    __table_args__ = (CheckConstraint("reason in ('bounced','complained')", name="reason"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    reason: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text, server_default="")
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]


class Webhook(Base):
    """Where a workspace wants its events sent. The secrets that sign them are sealed; the previous one signs along
    until `previous_secret_until`. Until `leased_until` the row belongs to the worker that sends to it."""

    __tablename__ = "webhook"
    __table_args__ = (
        CheckConstraint("disabled_reason in ('by_hand','gone','exhausted')", name="disabled_reason"),
        CheckConstraint("enabled = (disabled_reason is null)", name="enabled"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(server_default="1")
    secret_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    last_success_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One event for one webhook. `attempts` only grows, and each claim has its own; the schedule counts from
    `attempts_before`, which a replay sets, and `queued_at` is when that count began."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint("state in ('pending','delivered','failed')", name="state"),
        UniqueConstraint("webhook_id", "event_id"),
        Index("ix_webhook_delivery_page", "webhook_id", "id"),
        Index(
            "ix_webhook_delivery_due",
            "next_attempt_at",
            "webhook_id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_webhook_delivery_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(Text)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(Text)
    event: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    attempts_before: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    last_attempt_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
