"""The audit log's reading side."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.audit_log import repository
from services.auth.audit_log.schemas import AuditView
from services.auth.models import AuditLog
from shared.contracts.audit import AuditRecorded
from shared.web.pagination import Page, PageRequest


async def project(session: AsyncSession, event: AuditRecorded) -> None:
    """Stores a row as its service recorded it. The same row twice is one row."""
    await repository.add(
        session,
        {
            "id": event.audit_id,
            "workspace_id": event.workspace_id,
            "service": event.producer(),
            "sequence": event.sequence,
            "at": event.at,
            "actor_kind": event.actor_kind,
            "actor_id": event.actor_id,
            "action": event.action,
            "target": event.target,
            "outcome": event.outcome,
            "reason": event.reason,
            "data": event.data,
            "row_hash": event.row_hash,
        },
    )


async def page(
    session: AsyncSession, workspace_id: str, page: PageRequest, *, action: str | None, target: str | None
) -> Page[AuditView]:
    rows = await repository.page(
        session,
        workspace_id,
        before=page.after_moment(),
        limit=page.limit + 1,
        action=action,
        target=target,
    )
    return page.page(rows, _view, lambda row: (row.at.isoformat(), row.id))


def _view(row: AuditLog) -> AuditView:
    return AuditView.model_validate(row, from_attributes=True)
