"""Tables of auth. Every one with a `workspace_id` is under row-level security (see migrations)."""

from __future__ import annotations

from services.auth.models.accounts import Account, EmailChange, PasswordReset, SecurityEvent, Signup
from services.auth.models.base import Base, kit
from services.auth.models.notices import (
    MailSuppression,
    Notification,
    NotificationMute,
    Webhook,
    WebhookDelivery,
)
from services.auth.models.records import AuditLog, Threat
from services.auth.models.sessions import (
    RecoveryCode,
    RefreshToken,
    SecondFactor,
    Session,
    SignInFailure,
    SignInThrottle,
)
from services.auth.models.workspaces import ApiKey, Deletion, Invitation, Member, StreamPosition, Workspace

__all__ = [
    "Account",
    "ApiKey",
    "AuditLog",
    "Base",
    "Deletion",
    "EmailChange",
    "Invitation",
    "MailSuppression",
    "Member",
    "Notification",
    "NotificationMute",
    "PasswordReset",
    "RecoveryCode",
    "RefreshToken",
    "SecondFactor",
    "SecurityEvent",
    "Session",
    "SignInFailure",
    "SignInThrottle",
    "Signup",
    "StreamPosition",
    "Threat",
    "Webhook",
    "WebhookDelivery",
    "Workspace",
    "kit",
]
