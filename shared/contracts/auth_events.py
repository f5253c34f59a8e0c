"""Facts that auth publishes."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.audit import AuditRecorded
from shared.contracts.envelope import EventData

Role = Literal["owner", "admin", "member"]


class WorkspaceCreated(EventData):
    """Subject: the workspace."""

    type: ClassVar[str] = "auth.workspace.created.v1"
    workspace_id: str
    name: str


class WorkspaceDeletionRequested(EventData):
    """Subject: the workspace. Owners of things in the outside world give them back and say so."""

    type: ClassVar[str] = "auth.workspace.deletion_requested.v1"
    workspace_id: str


class WorkspaceDeleted(EventData):
    """Subject: the workspace. Nothing of it is left outside: keys are shredded, rows removed."""

    type: ClassVar[str] = "auth.workspace.deleted.v1"
    workspace_id: str


class MembershipChanged(EventData):
    """Subject: the workspace. `role` is None when the member has left; `sequence` has no gaps."""

    type: ClassVar[str] = "auth.membership.changed.v1"
    workspace_id: str
    account_id: str
    role: Role | None
    sequence: int


class SessionRevoked(EventData):
    """Subject: the session. Access tokens with this `sid` are refused from now on."""

    type: ClassVar[str] = "auth.session.revoked.v1"
    session_id: str
    account_id: str
    sequence: int


class ApiKeyRevoked(EventData):
    """Subject: the API key."""

    type: ClassVar[str] = "auth.api_key.revoked.v1"
    workspace_id: str
    key_id: str
    sequence: int


class Heartbeat(EventData):
    """Once a second, so that a gateway knows within seconds that it no longer hears revocations."""

    type: ClassVar[str] = "auth.stream.heartbeat.v1"
    sequence: int


class AuthAuditRecorded(AuditRecorded):
    type: ClassVar[str] = "auth.audit.recorded.v1"
