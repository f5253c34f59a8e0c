"""Shapes of the end of a workspace."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints


class DeleteWorkspace(BaseModel):
    model_config = ConfigDict(extra="forbid")

    confirm_name: Annotated[str, StringConstraints(min_length=1, max_length=80)]


class Receipt(BaseModel):
    """What one service has said it gave back. `at` is None while it is still at work."""

    service: Literal["provisioner", "dns", "vault"]
    promise: str
    at: datetime | None


class DeletionView(BaseModel):
    workspace_id: str
    workspace_name: str
    state: Literal["deleting", "deleted"]
    requested_at: datetime
    deleted_at: datetime | None
    receipts: list[Receipt]
    data_keys_shredded: int | None
