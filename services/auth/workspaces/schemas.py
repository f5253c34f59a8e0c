"""Shapes of workspaces and their members."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from shared.ids import MemberId

Role = Literal["owner", "admin", "member"]
WorkspaceName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=80, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f<>]+$"),
]


class CreateWorkspace(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: WorkspaceName


class RenameWorkspace(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: WorkspaceName


class ChangeRole(BaseModel):
    """Owners are made by a transfer."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["admin", "member"]


class TransferOwnership(BaseModel):
    """`your_role` is what the caller is afterwards; `owner` shares the workspace instead of handing it over."""

    model_config = ConfigDict(extra="forbid")

    member_id: MemberId
    your_role: Role = "admin"


class WorkspaceView(BaseModel):
    """`role` is the caller's own; None when a key asks. `version` is what the ETag says, too."""

    id: str
    name: str
    state: Literal["active", "deleting"]
    role: Role | None
    version: int
    created_at: datetime


class MemberView(BaseModel):
    """`version` grows with each change of the role; its ETag is that number in quotes."""

    id: str
    account_id: str
    email: str
    name: str
    role: Role
    version: int
    joined_at: datetime
