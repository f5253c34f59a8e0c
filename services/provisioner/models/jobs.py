"""What customers follow, and how long its steps take."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.provisioner.models.base import Base


class Job(Base):
    """A name for one stretch of the step log: what was asked for, of whom, from which row on."""

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_server_id_id", "server_id", "id"),
        Index("ix_job_subject_id", "subject_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("server.id"))
    subject_id: Mapped[str]
    kind: Mapped[str]
    generation: Mapped[int] = mapped_column(BigInteger)
    after_log: Mapped[int] = mapped_column(BigInteger)
    requested_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StepTiming(Base):
    """How long finished jobs of one kind took, on servers made from one image: of the whole fleet, and of nobody.

    `median_seconds` and `p90_seconds` are the step's own, `left_…` from its end to the end of its job. The step
    `created` stands for the job's beginning.
    """

    __tablename__ = "step_timing"

    job_kind: Mapped[str] = mapped_column(primary_key=True)
    image: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[str] = mapped_column(primary_key=True)
    samples: Mapped[int]
    median_seconds: Mapped[float]
    p90_seconds: Mapped[float]
    left_median_seconds: Mapped[float]
    left_p90_seconds: Mapped[float]
    last_at: Mapped[datetime]
    """When the newest of the jobs ended."""
