"""Threats: kept as gateways told them, shown to the workspace that they concern."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Threat
from services.auth.threats import repository
from services.auth.threats.schemas import ThreatView
from shared.contracts.gateway_events import ThreatObserved
from shared.web.pagination import Page, PageRequest


async def store(session: AsyncSession, event: ThreatObserved) -> None:
    """The same event twice is one row. A stranger can name any workspace: one that there is not gets no rows."""
    row = event.model_dump(exclude={"threat_id"}) | {
        "id": event.threat_id,
        "signatures": list(event.signatures),
    }
    if event.workspace_id and not await repository.workspace_exists(session, event.workspace_id):
        row["workspace_id"] = None
    await repository.add(session, row)


async def page(
    session: AsyncSession, workspace_id: str, page: PageRequest, *, kind: str | None
) -> Page[ThreatView]:
    rows = await repository.page(
        session, workspace_id, before=page.after_moment(), limit=page.limit + 1, kind=kind
    )
    return page.page(rows, _view, lambda row: (row.last_at.isoformat(), row.id))


def _view(row: Threat) -> ThreatView:
    return ThreatView.model_validate(row, from_attributes=True)
