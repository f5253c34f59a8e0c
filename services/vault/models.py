"""What the vault keeps. Every table of a workspace is behind row-level security (migrations/)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db import kit_tables
from shared.db.base import TYPE_MAP, new_metadata


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


kit = kit_tables.define(Base)


class DataKey(Base):
    """One version of a scope's data key, wrapped by a root key. `scope` is a workspace id or `platform`.

    `encryptions` counts the secrets sealed under it, `rewraps` those taken over from older versions. `unused_since`
    is when no secret was found under it any more; some time later its material is destroyed ("retired").
    """

    __tablename__ = "data_key"
    __table_args__ = (
        CheckConstraint("state in ('active', 'decrypt_only', 'retired', 'shredded')", name="state"),
        CheckConstraint("(state in ('retired', 'shredded')) = (wrapped is null)", name="ended_has_no_key"),
        Index("uq_data_key_active", "scope", unique=True, postgresql_where=text("state = 'active'")),
    )

    scope: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str]
    wrapped: Mapped[bytes | None] = mapped_column(LargeBinary)
    root_key_id: Mapped[str]
    check_value: Mapped[bytes] = mapped_column(LargeBinary)
    encryptions: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    shredded_at: Mapped[datetime | None]
    rewraps: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    unused_since: Mapped[datetime | None]


class ShreddedScope(Base):
    """A scope that ended. No data key is ever made for it again, whatever arrives late."""

    __tablename__ = "shredded_scope"

    scope: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class Server(Base):
    """What the vault knows of a host: its name, from the provisioner's calls and facts.

    A deleted one stays as a bare id, so that a late call or event does not bring it back.
    """

    __tablename__ = "server"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    hostname: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class Mailbox(Base):
    """Whose password a secret is. A removed one stays as a bare id, for the same reason as a server."""

    __tablename__ = "mailbox"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(index=True)
    server_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Of the newest move that was heard of."""
    address: Mapped[str | None]
    display_name: Mapped[str] = mapped_column(server_default="")
    credentials_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Grows with each change of what opens the mailbox; a password that is made by a change has its number."""
    password_due: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """The version that a password of its own making is to have, as long as none is as new."""
    webmail_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Grows each time that webmail sign-ins of the mailbox are ended before their time."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class Secret(Base):
    """One version of one secret, in format 1 (envelope.py). `verifier` is set for mailbox passwords only."""

    __tablename__ = "secret"
    __table_args__ = (
        CheckConstraint("state in ('pending', 'current')", name="state"),
        CheckConstraint("owner_kind in ('mailbox', 'server', 'provider_token')", name="owner_kind"),
        # As an index: what tells secrets apart comes first.
        UniqueConstraint("owner_id", "owner_kind", "field", "version", "workspace_id"),
        # A repeated nonce under one key would end its secrecy; this is the alarm.
        UniqueConstraint("workspace_id", "data_key_version", "wrap_nonce"),
        Index(
            "uq_secret_current",
            "owner_kind",
            "owner_id",
            "field",
            unique=True,
            postgresql_where=text("state = 'current' and field <> 'app_password'"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str]
    server_id: Mapped[str | None] = mapped_column(index=True)
    owner_kind: Mapped[str]
    owner_id: Mapped[str]
    field: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    data_key_version: Mapped[int] = mapped_column(Integer)
    wrap_nonce: Mapped[bytes] = mapped_column(LargeBinary)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    verifier: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    applied_at: Mapped[datetime | None]


class AppPassword(Base):
    """A password of a mailbox for one tool. Its secret is the mailbox's of field `app_password` and this version.

    `tool` is the export format that it was made for. `selector` is what it begins with, once it is made.
    `revoked_version` is the change that takes it away, `ended_at` when the host had applied that.
    """

    __tablename__ = "app_password"
    __table_args__ = (
        UniqueConstraint("mailbox_id", "version"),
        Index(
            "uq_app_password_tool",
            "mailbox_id",
            "tool",
            unique=True,
            postgresql_where=text("tool is not null and revoked_version is null"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    mailbox_id: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    name: Mapped[str]
    tool: Mapped[str | None]
    selector: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_version: Mapped[int | None] = mapped_column(Integer)
    revoked_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class WebmailSignIn(Base):
    """A webmail token that was given out: its `jti`, and who asked for it. The token itself is nowhere stored.

    It is kept as long as the token or the session that comes of it could be alive. `ended_at` is when it was ended
    before its time.
    """

    __tablename__ = "webmail_sign_in"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    mailbox_id: Mapped[str] = mapped_column(index=True)
    opened_by: Mapped[str]
    maker: Mapped[str | None]
    """Who made the API key that opened it: what the key may do hangs on his role."""
    issued_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class WebmailOpener(Base):
    """Whether somebody may still open webmail in a workspace, as auth said last. `sequence` is that of its stream."""

    __tablename__ = "webmail_opener"

    workspace_id: Mapped[str] = mapped_column(primary_key=True)
    actor_id: Mapped[str] = mapped_column(primary_key=True)
    may_open: Mapped[bool] = mapped_column(server_default=text("true"))
    sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class CredentialRotation(Base):
    """One change of all that `actor_id` had seen since then."""

    __tablename__ = "credential_rotation"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    actor_id: Mapped[str]
    since: Mapped[datetime | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class RotatedMailbox(Base):
    """A mailbox of a rotation, and when its host had applied the change (or the mailbox was gone)."""

    __tablename__ = "rotated_mailbox"

    rotation_id: Mapped[str] = mapped_column(
        ForeignKey("credential_rotation.id", ondelete="cascade"), primary_key=True
    )
    mailbox_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    version: Mapped[int] = mapped_column(Integer)
    applied_at: Mapped[datetime | None]


class ProviderToken(Base):
    """A customer's credential for a provider of theirs. The token itself is a Secret."""

    __tablename__ = "provider_token"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    provider: Mapped[str]
    label: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class Export(Base):
    """A one-time link. `token_hash` is SHA-256 of the token, which is nowhere stored."""

    __tablename__ = "export"
    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    format: Mapped[str]
    mailboxes: Mapped[int | None] = mapped_column(Integer)
    """How many it was made for; null in links of the release before, which listed them in `mailbox_ids`."""
    mailbox_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    reason: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    main_password: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether it hands out the mailboxes' own passwords, or the app passwords of its format."""
    redeemed_at: Mapped[datetime | None]
    redeemed_by: Mapped[str | None]


class ReadLimit(Base):
    """What one caller may still read. From `full_at` on he has his whole share again (read_limits/)."""

    __tablename__ = "read_limit"

    workspace_id: Mapped[str] = mapped_column(primary_key=True)
    actor_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    full_at: Mapped[datetime]


class ExportPage(Base):
    """Which mailboxes are read, recorded and written at once, in the order of their addresses. Numbers begin at 0."""

    __tablename__ = "export_page"

    export_id: Mapped[str] = mapped_column(ForeignKey("export.id", ondelete="cascade"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    mailbox_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))


class DecryptCount(Base):
    """How often something was decrypted, by purpose; a purpose that should stay still shows when it does not."""

    __tablename__ = "decrypt_count"

    workspace_id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime]
