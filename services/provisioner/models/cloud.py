"""The account at the cloud: what it offers, allows, and what was found in it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.provisioner.models.base import EMPTY_LIST, ZERO, Base


class SweepFinding(Base):
    """A thing at the cloud that carries our tag and belongs to nobody."""

    __tablename__ = "sweep_finding"
    __table_args__ = (
        CheckConstraint("state in ('seen', 'quarantined', 'deleted', 'cleared')", name="state"),
        UniqueConstraint("kind", "external_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    zone: Mapped[str]
    external_id: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(server_default=EMPTY_LIST)
    state: Mapped[str]
    seen: Mapped[int]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    quarantined_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class ProviderGate(Base):
    """What all workers together may still ask of one provider's zone, and whether it answers (`reconciler/gate.py`)."""

    __tablename__ = "provider_gate"

    provider: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    refilled_at: Mapped[datetime] = mapped_column(server_default=func.now())
    paused_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=ZERO)
    """Silences in a row."""
    open_until: Mapped[datetime | None]
    """The breaker is open; once this has passed, one call is let through."""


class ZoneOffer(Base):
    """What the cloud said of one machine type in one zone. `monthly_cents`: its own price, in euros, without tax."""

    __tablename__ = "zone_offer"
    __table_args__ = (
        CheckConstraint("availability in ('available', 'scarce', 'shortage')", name="availability"),
    )

    zone: Mapped[str] = mapped_column(primary_key=True)
    commercial_type: Mapped[str] = mapped_column(primary_key=True)
    availability: Mapped[str]
    monthly_cents: Mapped[int | None]
    vcpus: Mapped[int]
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime]


class CloudLimit(Base):
    """How many servers or addresses our account may have, over all zones, and has. `quota` None: no limit."""

    __tablename__ = "cloud_limit"

    resource: Mapped[str] = mapped_column(primary_key=True)
    quota: Mapped[int | None]
    used: Mapped[int]
    seen_at: Mapped[datetime]
