"""What authority rests on, across workspaces."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Member, Session

_SNAPSHOT = text("select authority_snapshot(:revoked_since)")


async def snapshot(session: AsyncSession, revoked_since: datetime) -> dict[str, Any]:
    """One statement, hence one moment. A function of the owner role, since the app role sees one workspace only."""
    found: dict[str, Any] = (await session.execute(_SNAPSHOT, {"revoked_since": revoked_since})).scalar_one()
    return found


async def session_of(session: AsyncSession, session_id: str, account_id: str) -> Session | None:
    statement = select(Session).where(Session.id == session_id, Session.account_id == account_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def role_of(session: AsyncSession, workspace_id: str, account_id: str) -> str | None:
    statement = select(Member.role).where(
        Member.workspace_id == workspace_id, Member.account_id == account_id
    )
    return (await session.execute(statement)).scalar_one_or_none()
