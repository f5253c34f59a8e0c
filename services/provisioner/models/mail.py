"""Domains and mailboxes of a server, and which zones are proven."""

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

from services.provisioner.models.base import EMPTY_LIST, FALSE, ZERO, Base

BEFORE_OPENING = ("preparing", "copying", "announcing", "switching", "closing", "closed", "finishing")
"""Phases of a move in which the old server serves the domain, or nobody does; it can still be taken back there."""
AFTER_OPENING = ("opened", "leaving", "forgetting")
MOVE_PHASES = (*BEFORE_OPENING, *AFTER_OPENING)


class Domain(Base):
    """A sending domain of a server."""

    __tablename__ = "domain"
    __table_args__ = (
        CheckConstraint(
            "state in ('pending', 'moving', 'awaiting_dns', 'securing', 'ready', 'removing')", name="state"
        ),
        CheckConstraint(f"move_phase in ({', '.join(map(repr, MOVE_PHASES))})", name="move_phase"),
        Index("ix_domain_moving_from", "moving_from", postgresql_where=text("moving_from is not null")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"), index=True)
    moving_from: Mapped[str | None]
    """The server that it comes from, until that one has forgotten it (`domains/moving.py`)."""
    move_phase: Mapped[str | None]
    move_before: Mapped[dict[str, Any] | None]
    """What the server that it comes from publishes: `dkim` and `mta_sts_id`."""
    move_generation: Mapped[int | None] = mapped_column(BigInteger)
    """The generation of that server which closes the domain, and later the one that forgets it."""
    opened_at: Mapped[datetime | None]
    """When its mailboxes were opened on the new server."""
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
    __table_args__ = (
        CheckConstraint("state in ('pending', 'active', 'removing')", name="state"),
        CheckConstraint("copied in ('once', 'all', 'passwords')", name="copied"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"), index=True)
    """The one that serves it: while its domain moves the old one, until it is opened on the new."""
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
    copied: Mapped[str | None]
    """While its domain moves: how far its mail, and at last its passwords, have come along."""
    moves: Mapped[int] = mapped_column(server_default=ZERO)
    """How often it has changed its server: the version of `provisioner.mailbox.moved.v1`."""
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
