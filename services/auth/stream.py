"""The authority stream: membership changes and revocations, numbered without gaps.

Gateways keep what they know of memberships and revoked sessions in memory. They trust it as long as they have
seen every number, so a number is taken in the transaction of the change and holds back others until it commits.
"""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import StreamPosition, kit
from shared.bus import outbox
from shared.contracts.auth_events import ApiKeyRevoked, Heartbeat, MembershipChanged, Role, SessionRevoked

STREAM = "authority"


async def _next(session: AsyncSession) -> int:
    statement = (
        update(StreamPosition)
        .where(StreamPosition.name == STREAM)
        .values(value=StreamPosition.value + 1)
        .returning(StreamPosition.value)
    )
    return (await session.execute(statement)).scalar_one()


async def position(session: AsyncSession) -> int:
    """The last committed number."""
    statement = select(StreamPosition.value).where(StreamPosition.name == STREAM)
    return (await session.execute(statement)).scalar_one()


async def membership_changed(
    session: AsyncSession, workspace_id: str, account_id: str, role: Role | None
) -> None:
    sequence = await _next(session)
    event = MembershipChanged(workspace_id=workspace_id, account_id=account_id, role=role, sequence=sequence)
    await outbox.emit(
        session, event, subject=workspace_id, workspace_id=workspace_id, aggregate_version=sequence
    )


async def session_revoked(session: AsyncSession, session_id: str, account_id: str) -> None:
    sequence = await _next(session)
    event = SessionRevoked(session_id=session_id, account_id=account_id, sequence=sequence)
    await outbox.emit(session, event, subject=session_id, workspace_id=None, aggregate_version=sequence)


async def api_key_revoked(session: AsyncSession, workspace_id: str, key_id: str) -> None:
    sequence = await _next(session)
    event = ApiKeyRevoked(workspace_id=workspace_id, key_id=key_id, sequence=sequence)
    await outbox.emit(session, event, subject=key_id, workspace_id=workspace_id, aggregate_version=sequence)


async def heartbeat(session: AsyncSession) -> None:
    """Goes the same way as the changes, so that hearing it proves that the way is open."""
    sequence = await position(session)
    await outbox.emit(
        session, Heartbeat(sequence=sequence), subject=STREAM, workspace_id=None, aggregate_version=sequence
    )


async def forget_beats(session: AsyncSession) -> None:
    """Takes published heartbeats off the outbox: there are 86,400 a day and nobody needs to look one up."""
    outbox_row = kit.Outbox
    await session.execute(
        delete(outbox_row).where(outbox_row.type == Heartbeat.type, outbox_row.published_at.is_not(None))
    )
