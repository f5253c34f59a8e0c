"""Rows of invitations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, Invitation, Member


async def page(
    session: AsyncSession, workspace_id: str, *, before: str | None, limit: int
) -> list[Invitation]:
    statement = (
        select(Invitation)
        .where(Invitation.workspace_id == workspace_id)
        .order_by(Invitation.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(Invitation.id < before)
    return list((await session.execute(statement)).scalars())


async def open_for(session: AsyncSession, workspace_id: str, email: str) -> Invitation | None:
    statement = select(Invitation).where(
        Invitation.workspace_id == workspace_id,
        Invitation.email == email,
        Invitation.accepted_at.is_(None),
        Invitation.revoked_at.is_(None),
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def is_member(session: AsyncSession, workspace_id: str, email: str) -> bool:
    statement = (
        select(Member.id)
        .join(Account, Account.id == Member.account_id)
        .where(Member.workspace_id == workspace_id, Account.email == email)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def email_of(session: AsyncSession, account_id: str) -> str | None:
    return (await session.execute(select(Account.email).where(Account.id == account_id))).scalar_one_or_none()


async def count_open(session: AsyncSession, workspace_id: str, now: datetime) -> int:
    statement = select(func.count()).where(
        Invitation.workspace_id == workspace_id,
        Invitation.accepted_at.is_(None),
        Invitation.revoked_at.is_(None),
        Invitation.expires_at > now,
    )
    return (await session.execute(statement)).scalar_one()


async def lock(session: AsyncSession, workspace_id: str, invitation_id: str) -> Invitation | None:
    statement = (
        select(Invitation)
        .where(Invitation.id == invitation_id, Invitation.workspace_id == workspace_id)
        .with_for_update()
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def accept(
    session: AsyncSession,
    workspace_id: str,
    invitation_id: str,
    email: str,
    sends: int,
    account_id: str,
    now: datetime,
) -> str | None:
    """The role, if this call is the one that used the invitation. One statement decides between any number."""
    statement = (
        update(Invitation)
        .where(
            Invitation.id == invitation_id,
            Invitation.workspace_id == workspace_id,
            Invitation.email == email,
            Invitation.sends == sends,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
            Invitation.expires_at > now,
        )
        .values(accepted_at=now, accepted_by=account_id)
        .returning(Invitation.role)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def revoke(session: AsyncSession, workspace_id: str, invitation_id: str, now: datetime) -> bool:
    statement = (
        update(Invitation)
        .where(
            Invitation.id == invitation_id,
            Invitation.workspace_id == workspace_id,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
        )
        .values(revoked_at=now)
        .returning(Invitation.id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def revoke_all(session: AsyncSession, workspace_id: str, now: datetime) -> None:
    await session.execute(
        update(Invitation)
        .where(
            Invitation.workspace_id == workspace_id,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


async def revoke_made_by(session: AsyncSession, workspace_id: str, account_id: str, now: datetime) -> None:
    """What somebody could grant ends with his right to grant it."""
    await session.execute(
        update(Invitation)
        .where(
            Invitation.workspace_id == workspace_id,
            Invitation.invited_by == account_id,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


async def add_member(
    session: AsyncSession, member_id: str, workspace_id: str, account_id: str, role: str, now: datetime
) -> bool:
    """False when the account is a member already."""
    statement = (
        insert(Member)
        .values(id=member_id, workspace_id=workspace_id, account_id=account_id, role=role, joined_at=now)
        .on_conflict_do_nothing(index_elements=["workspace_id", "account_id"])
        .returning(Member.id)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None
