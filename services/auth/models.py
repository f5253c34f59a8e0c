"""Tables of auth. Every one with a `workspace_id` is under row-level security (see migrations)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db import kit_tables
from shared.db.base import TYPE_MAP, new_metadata


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


kit = kit_tables.define(Base)


class Account(Base):
    """A person. `email` is stored in lower case and is unique."""

    __tablename__ = "account"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    password_changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime]


class Signup(Base):
    """A wish for an account, until its address is confirmed. Only the newest of an address can be."""

    __tablename__ = "signup"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    email: Mapped[str] = mapped_column(Text, index=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Session(Base):
    """One sign-in on one device, and the family of its refresh tokens."""

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    authenticated_at: Mapped[datetime]
    methods: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{pwd}'"))
    idle_expires_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None] = mapped_column(index=True)
    revoke_reason: Mapped[str | None] = mapped_column(Text)
    device: Mapped[str] = mapped_column(Text, server_default="")
    network: Mapped[str] = mapped_column(Text, server_default="")
    last_used_at: Mapped[datetime | None]


class RefreshToken(Base):
    """SHA-256 of one refresh token. `successor_sealed` opens only with the token itself, for a lost answer."""

    __tablename__ = "refresh_token"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("session.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    rotated_at: Mapped[datetime | None]
    successor_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)


class SignInFailure(Base):
    """Failed sign-ins of one key: keyed hash of an address, of a network, of the pair, of a known device."""

    __tablename__ = "sign_in_failure"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int]
    last_failed_at: Mapped[datetime]


class SignInThrottle(Base):
    """A leaky bucket in one value: when it will have run dry at its steady rate."""

    __tablename__ = "sign_in_throttle"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    drained_at: Mapped[datetime]


class PasswordReset(Base):
    """A wish for a new password, for an address that may or may not have an account. The newest alone works."""

    __tablename__ = "password_reset"
    __table_args__ = (
        Index("ix_password_reset_email", "email", "created_at"),
        Index("uq_password_reset_open", "email", unique=True, postgresql_where=text("used_at is null")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class EmailChange(Base):
    """From one address to another: confirmed at the new one, and for a time to be undone from the old one.

    `closed_at`: neither of its links works any more.
    """

    __tablename__ = "email_change"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    old_email: Mapped[str] = mapped_column(Text)
    new_email: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    undo_expires_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class SecurityEvent(Base):
    """What happened to a person's own account: his record, behind row-level security by account."""

    __tablename__ = "security_event"
    __table_args__ = (Index("ix_security_event_page", "account_id", "id"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(Text)
    device: Mapped[str] = mapped_column(Text)
    network: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class SecondFactor(Base):
    """The authenticator of an account, its key sealed; on once it is confirmed. `last_step` was used, and so were all
    before it."""

    __tablename__ = "second_factor"

    account_id: Mapped[str] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    key_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(BigInteger, server_default="0")


class RecoveryCode(Base):
    """One of ten codes that stand in for the authenticator once. `handle` is its beginning, the rest is hashed."""

    __tablename__ = "recovery_code"

    account_id: Mapped[str] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    handle: Mapped[str] = mapped_column(Text, primary_key=True)
    code_hash: Mapped[str] = mapped_column(Text)
    used_at: Mapped[datetime | None]


class Workspace(Base):
    __tablename__ = "workspace"
    __table_args__ = (CheckConstraint("state in ('active','deleting','deleted')", name="state"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="active")
    version: Mapped[int] = mapped_column(server_default="1")
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class Member(Base):
    __tablename__ = "member"
    __table_args__ = (
        UniqueConstraint("workspace_id", "account_id"),
        CheckConstraint("role in ('owner','admin','member')", name="role"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"))
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(server_default="1")
    joined_at: Mapped[datetime]


class Invitation(Base):
    """The right of one address to join once. The token in the mail is signed when it is sent, never stored.

    `sends` counts the mails; only the token of the last one is good. `sent_at` is None until it was sent again.
    """

    __tablename__ = "invitation"
    __table_args__ = (
        CheckConstraint("role in ('admin','member')", name="role"),
        Index(
            "uq_invitation_open",
            "workspace_id",
            "email",
            unique=True,
            postgresql_where=text("accepted_at is null and revoked_at is null"),
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    invited_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    sends: Mapped[int] = mapped_column(server_default="1")
    sent_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    accepted_by: Mapped[str | None] = mapped_column(Text)
    revoked_at: Mapped[datetime | None]


class ApiKey(Base):
    """A partner's key: HMAC of it under the pepper. It can never do more than its maker can now.

    With `allowed_networks` (CIDR) it works from there only. `rotated_from` and `replaced_by` link a key with the one
    before and after it.
    """

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    public_id: Mapped[str] = mapped_column(Text, unique=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[str] = mapped_column(Text, index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoke_reason: Mapped[str | None] = mapped_column(Text)
    allowed_networks: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    rotated_from: Mapped[str | None] = mapped_column(Text)
    replaced_by: Mapped[str | None] = mapped_column(Text)
    last_used_at: Mapped[datetime | None]


class StreamPosition(Base):
    """The one counter of revocations and membership changes. Its row lock makes their order and has no gaps."""

    __tablename__ = "stream_position"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


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


class AuditLog(Base):
    """Audit rows of every service, as their events told them."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_page", "workspace_id", "at", "id"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(Text)
    service: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    actor_kind: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    row_hash: Mapped[str] = mapped_column(Text)


class Threat(Base):
    """What gateways saw. Without a workspace it concerns nobody in particular, and no workspace sees it."""

    __tablename__ = "threat"
    __table_args__ = (
        Index("ix_threat_page", "workspace_id", "last_at", "id"),
        Index("ix_threat_last_at", "last_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_id: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    route: Mapped[str | None] = mapped_column(Text)
    signatures: Mapped[list[str]] = mapped_column(ARRAY(Text))
    count: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]


class Deletion(Base):
    """The end of a workspace: who asked, and which service has given back what it held, when."""

    __tablename__ = "deletion"

    workspace_id: Mapped[str] = mapped_column(Text, primary_key=True)
    workspace_name: Mapped[str] = mapped_column(Text)
    requested_by: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime]
    provisioner_at: Mapped[datetime | None]
    dns_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    vault_at: Mapped[datetime | None]
    data_keys_shredded: Mapped[int | None]
