"""How long auth keeps what has served its purpose. Accounts and workspaces end by themselves, never by age."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

KEEP: Final[dict[str, tuple[str, timedelta]]] = {
    "sign_in_failure": ("last_failed_at", timedelta(days=1)),
    "password_reset": ("created_at", timedelta(days=1)),
    "signup": ("created_at", timedelta(days=7)),
    "email_change": ("created_at", timedelta(days=30)),
    "session": ("expires_at", timedelta(days=30)),
    "security_event": ("at", timedelta(days=365)),
    "webhook_delivery": ("created_at", timedelta(days=30)),
    "threat": ("last_at", timedelta(days=90)),
}
"""Refresh tokens go with their session."""
