"""What was done, and what looked wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Index,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.models.base import Base


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
