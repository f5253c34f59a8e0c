"""What auth says about those who open webmail."""

from __future__ import annotations

from services.vault.wiring import Resources
from shared.bus.binding import HandlerContext
from shared.contracts.auth_events import ApiKeyRevoked, MembershipChanged

MAY_OPEN = frozenset({"owner", "admin"})
"""Roles with the permission `webmail.open`, as gateway/permissions.toml gives it."""


async def on_membership_changed(context: HandlerContext, event: MembershipChanged) -> None:
    resources: Resources = context.resources
    await resources.webmail_ending.changed(
        context.session,
        event.workspace_id,
        event.account_id,
        may_open=event.role in MAY_OPEN,
        sequence=event.sequence,
        reason="left the workspace" if event.role is None else f"is {event.role} now",
    )


async def on_api_key_revoked(context: HandlerContext, event: ApiKeyRevoked) -> None:
    resources: Resources = context.resources
    await resources.webmail_ending.changed(
        context.session,
        event.workspace_id,
        event.key_id,
        may_open=False,
        sequence=event.sequence,
        reason="API key revoked",
    )
