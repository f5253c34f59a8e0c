"""Workspaces, who is in them, and who leaves."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.models.base import Base


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
