"""Facts that the vault publishes."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.audit import AuditRecorded
from shared.contracts.envelope import EventData


class WorkspaceShredded(EventData):
    """Subject: the workspace. Its data keys are destroyed; what they wrapped opens no more."""

    type: ClassVar[str] = "vault.workspace.shredded.v1"
    workspace_id: str
    data_keys: int
    secrets: int


class VaultAuditRecorded(AuditRecorded):
    type: ClassVar[str] = "vault.audit.recorded.v1"
