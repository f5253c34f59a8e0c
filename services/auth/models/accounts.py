"""People, and what changes about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Index,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.models.base import Base


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
