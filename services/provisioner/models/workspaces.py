"""Workspaces that leave."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.provisioner.models.base import Base


class WorkspaceDeletion(Base):
    """A workspace that is leaving: its servers are cancelled, and nothing new is begun for it."""

    __tablename__ = "workspace_deletion"

    workspace_id: Mapped[str] = mapped_column(primary_key=True)
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    emptied_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
