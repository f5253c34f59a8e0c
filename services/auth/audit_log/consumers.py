"""Audit rows of every service."""

from __future__ import annotations

from services.auth.audit_log import service
from shared.bus.binding import HandlerContext
from shared.contracts.audit import AuditRecorded


async def on_audit_recorded(context: HandlerContext, event: AuditRecorded) -> None:
    await service.project(context.session, event)
