"""Who is signed in, and how they proved who they are."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.models.base import Base


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
