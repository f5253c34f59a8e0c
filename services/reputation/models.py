"""What the service keeps. Every table belongs to a workspace and is behind row-level security (migrations/)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.db import kit_tables
from shared.db.base import TYPE_MAP, new_metadata


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


kit = kit_tables.define(Base)


class Address(Base):
    """An address that a server has or had. `state`: candidate, live, released.

    `version` grows with each fact published about it; `next_check_at` is empty when nothing is due.
    """

    __tablename__ = "address"
    __table_args__ = (
        CheckConstraint("state in ('candidate', 'live', 'released')", name="state"),
        CheckConstraint("family in (4, 6)", name="family"),
        Index("ix_address_due", "next_check_at", postgresql_where=text("next_check_at is not null")),
        Index("ix_address_server", "workspace_id", "server_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str]
    server_id: Mapped[str]
    address: Mapped[str]
    family: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    rounds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_check_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Check(Base):
    """One check of one address: the verdict and what each list said."""

    __tablename__ = "address_check"
    __table_args__ = (Index("ix_address_check_latest", "address_id", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str]
    address_id: Mapped[str] = mapped_column(ForeignKey("address.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    verdict: Mapped[str]
    results: Mapped[list[dict[str, Any]]]


class ListingRow(Base):
    """A listing of a living server's address. It is announced when two rounds agree, and ends the same way."""

    __tablename__ = "listing"
    __table_args__ = (UniqueConstraint("address_id", "blacklist", "first_seen"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str]
    address_id: Mapped[str] = mapped_column(ForeignKey("address.id", ondelete="CASCADE"), index=True)
    blacklist: Mapped[str]
    tier: Mapped[int] = mapped_column(Integer)
    codes: Mapped[list[str]]
    meaning: Mapped[str]
    reason: Mapped[str]
    delist_url: Mapped[str]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    clean_rounds: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    cleared_at: Mapped[datetime | None]


class EndedServer(Base):
    """A server that is gone: what arrives late about it is not taken up again."""

    __tablename__ = "ended_server"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
